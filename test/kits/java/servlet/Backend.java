import java.util.EnumSet;
import java.util.Map;
import javax.servlet.DispatcherType;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.FilterHolder;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;
import org.eclipse.jetty.util.log.Log;
import org.eclipse.jetty.util.log.StdErrLog;

/** A backend that the Java kit guards, as test/kits/harness.ts describes, in Jetty 9: the servlets of Java 8. */
public final class Backend {
    public static void main(String[] args) throws Exception {
        StdErrLog log = new StdErrLog();
        log.setLevel(StdErrLog.LEVEL_WARN);
        Log.setLog(log);
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        server.addConnector(connector);
        ServletContextHandler context = new ServletContextHandler();
        context.addFilter(new FilterHolder(Settings.parse(args[args.length - 1])), "/*", EnumSet.of(DispatcherType.REQUEST));
        context.addServlet(new ServletHolder(new HttpServlet() {
            @Override
            protected void service(HttpServletRequest request, HttpServletResponse response) throws java.io.IOException {
                int bytes = 0;
                while (request.getInputStream().read() >= 0) bytes++;
                Map<String, Object> claims = Holdfast.claimsOf(request);
                response.getWriter().print(Settings.answer(claims.get("sub"), claims.get("tier"), bytes, request.getHeader("Holdfast-Assertion")));
            }
        }), "/*");
        server.setHandler(context);
        server.start();
        System.out.println("listening " + connector.getLocalPort());
    }
}
