import com.nimbusds.jose.*;
import com.nimbusds.jose.crypto.ECDSAVerifier;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Clock;
import java.util.*;
import javax.servlet.*; // from Jakarta EE 9, Spring 6 and Tomcat 10 on: jakarta.servlet
import javax.servlet.http.*;

/** What a Java backend adds to believe only the gateway (docs/assertion.md): a filter, to stand before every other. */
public class Holdfast implements Filter {
    private static final int SKEW = 5; // seconds that the gateway's clock and ours may differ
    private static final Base64.Encoder BASE64URL = Base64.getUrlEncoder().withoutPadding();
    private final String issuer, audience, passed = "holdfast." + UUID.randomUUID();
    private final Map<String, Long> seen = new LinkedHashMap<>(); // each `jti` until it is over
    private final GatewayKeys keys;
    public Collection<String> tiers, bindings; // these and what follows are explained in kits/README.md; null: any
    public boolean bodyDigest, singleUse;
    public int maxBody = 1 << 20;
    public String header = "Holdfast-Assertion";
    public Clock clock = Clock.systemUTC();

    public Holdfast(String issuer, String audience, String jwksUrl) {
        this.issuer = issuer; this.audience = audience; keys = new GatewayKeys(jwksUrl);
    }

    /** What the gateway says of a request that was let through. */
    @SuppressWarnings("unchecked")
    public static Map<String, Object> claimsOf(ServletRequest request) {
        return (Map<String, Object>) request.getAttribute("holdfast");
    }

    /** Does an assertion meet what a route demands? `both` is bound by DPoP and by a certificate; null: any. */
    public static boolean meets(Map<String, Object> claims, Collection<String> tiers, Collection<String> bindings) {
        Object bound = claims.get("binding") instanceof Map ? ((Map<?, ?>) claims.get("binding")).get("method") : null;
        return (tiers == null || tiers.stream().anyMatch(one -> one.equals(claims.get("tier"))))
            && (bindings == null || bindings.stream().anyMatch(one -> one.equals(bound) || "both".equals(bound)));
    }

    @Override public void doFilter(ServletRequest asked, ServletResponse answer, FilterChain chain)
            throws IOException, ServletException {
        ServletRequest judged = asked;
        try {
            // Passed already: this is the dispatch of an error page, or of an asynchronous answer.
            if (asked.getAttribute(passed) == null) judged = check((HttpServletRequest) asked);
        } catch (Exception refused) { // nobody is told what was wrong
            ((HttpServletResponse) answer).setStatus(401);
            answer.setContentType("application/json");
            answer.getOutputStream().write("{\"error\":\"Unauthorized\"}".getBytes(StandardCharsets.US_ASCII));
            return;
        }
        chain.doFilter(judged, answer);
    }

    private HttpServletRequest check(HttpServletRequest request) throws Exception {
        List<String> fields = Collections.list(request.getHeaders(header));
        demand(fields.size() == 1);
        for (String part : fields.get(0).split("\\.", -1)) // each is the one way to write its bytes
            demand(BASE64URL.encodeToString(Base64.getUrlDecoder().decode(part)).equals(part));
        JWSObject jws = JWSObject.parse(fields.get(0));
        JWSHeader head = jws.getHeader();
        demand(head.getAlgorithm().equals(JWSAlgorithm.ES256) && head.getType().getType().equals("holdfast+jwt"));
        demand(head.getCriticalParams() == null);
        long now = clock.millis() / 1000;
        demand(jws.verify(new ECDSAVerifier(keys.find(head.getKeyID(), now).toECKey())));
        Map<String, Object> claims = jws.getPayload().toJSONObject();
        long iat = (Long) claims.get("iat"), exp = (Long) claims.get("exp");
        demand(iat <= now + SKEW && now < exp + SKEW && issuer.equals(claims.get("iss")) && audience.equals(claims.get("aud")));
        String query = request.getQueryString(), target = request.getRequestURI() + (query == null ? "" : "?" + query);
        demand(request.getMethod().equals(claims.get("htm")) && target.equals(claims.get("target")) && meets(claims, tiers, bindings));
        demand(Objects.equals(claims.get("qsh"), query == null ? null : hash(query.getBytes(StandardCharsets.UTF_8))));
        if (singleUse) synchronized (seen) {
            for (Iterator<Long> ends = seen.values().iterator(); ends.hasNext() && ends.next() < now; ) ends.remove();
            demand(seen.putIfAbsent((String) Objects.requireNonNull(claims.get("jti")), exp + SKEW) == null);
        }
        boolean holds = bodyDigest || claims.containsKey("bdh");
        HttpServletRequest judged = holds ? new HeldRequest(request, maxBody, claims.get("bdh")) : request;
        request.setAttribute("holdfast", claims);
        request.setAttribute(passed, true);
        return judged;
    }

    static void demand(boolean holds) { if (!holds) throw new SecurityException(); }
    static String hash(byte[] data) throws Exception {
        return BASE64URL.encodeToString(MessageDigest.getInstance("SHA-256").digest(data));
    }
    @Override public void init(FilterConfig config) { }
    @Override public void destroy() { }
}
