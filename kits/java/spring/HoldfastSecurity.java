import java.util.Arrays;
import java.util.Map;
import java.util.stream.Stream;
import javax.servlet.Filter; // Spring 6: jakarta.servlet
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.core.authority.AuthorityUtils;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.web.authentication.AnonymousAuthenticationFilter;
import org.springframework.security.web.authentication.preauth.PreAuthenticatedAuthenticationToken;
import org.springframework.security.web.session.DisableEncodeUrlFilter;

/** For Spring Security: who calls is `sub`, each scope is an authority `SCOPE_...`, and the claims are the credentials. */
public final class HoldfastSecurity {
    private HoldfastSecurity() { }

    /** The kit before every other filter; a request without `sub`, of a public route, stays anonymous. */
    public static HttpSecurity believe(Holdfast kit, HttpSecurity http) throws Exception {
        Filter caller = (request, response, chain) -> {
            Map<String, Object> claims = Holdfast.claimsOf(request);
            if (claims.get("sub") != null) {
                Stream<String> scopes = Arrays.stream(String.valueOf(claims.getOrDefault("scope", "")).split(" "));
                String[] authorities = scopes.filter(one -> !one.isEmpty()).map(one -> "SCOPE_" + one).toArray(String[]::new);
                SecurityContextHolder.getContext().setAuthentication(new PreAuthenticatedAuthenticationToken(
                    claims.get("sub"), claims, AuthorityUtils.createAuthorityList(authorities)));
            }
            chain.doFilter(request, response);
        };
        // No session and no cookie says who calls, so that there is nothing to forge a request with.
        return http.csrf(csrf -> csrf.disable()).sessionManagement(session -> session.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
            .addFilterBefore(kit, DisableEncodeUrlFilter.class).addFilterBefore(caller, AnonymousAuthenticationFilter.class);
    }
}
