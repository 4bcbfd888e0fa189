import java.nio.file.Files;
import javax.servlet.Filter;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.annotation.web.configuration.EnableWebSecurity;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.context.support.AnnotationConfigWebApplicationContext;

/** A backend that Spring Security and the Java kit guard, as test/kits/harness.ts describes, in Tomcat 10: the servlets of Jakarta. */
public final class SpringBackend {
    private static String settings;

    @Configuration
    @EnableWebSecurity
    static class Security {
        @Bean
        Holdfast holdfast() throws Exception {
            return Settings.parse(settings);
        }

        @Bean
        SecurityFilterChain backend(HttpSecurity http, Holdfast kit) throws Exception {
            return HoldfastSecurity.believe(kit, http)
                .authorizeHttpRequests(requests -> requests.anyRequest().hasAuthority("SCOPE_payments"))
                .build();
        }
    }

    public static void main(String[] args) throws Exception {
        settings = args[args.length - 1];
        java.util.logging.Logger.getLogger("").setLevel(java.util.logging.Level.WARNING);
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("holdfast-tomcat-").toString());
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", null);
        AnnotationConfigWebApplicationContext spring = new AnnotationConfigWebApplicationContext();
        spring.register(Security.class);
        spring.setServletContext(context.getServletContext());
        spring.refresh();
        FilterDef chain = new FilterDef();
        chain.setFilterName("security");
        chain.setFilter(spring.getBean("springSecurityFilterChain", Filter.class));
        context.addFilterDef(chain);
        FilterMap everything = new FilterMap();
        everything.setFilterName("security");
        everything.addURLPattern("/*");
        context.addFilterMap(everything);
        Tomcat.addServlet(context, "answer", new HttpServlet() {
            @Override
            protected void service(HttpServletRequest request, HttpServletResponse response) throws java.io.IOException {
                int bytes = 0;
                while (request.getInputStream().read() >= 0) bytes++;
                Authentication caller = SecurityContextHolder.getContext().getAuthentication();
                Object tier = Holdfast.claimsOf(request).get("tier");
                response.getWriter().print(Settings.answer(caller.getName(), tier, bytes, request.getHeader("Holdfast-Assertion")));
            }
        });
        context.addServletMappingDecoded("/", "answer");
        tomcat.start();
        System.out.println("listening " + tomcat.getConnector().getLocalPort());
    }
}
