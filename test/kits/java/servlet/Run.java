import com.nimbusds.jose.util.JSONObjectUtils;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import javax.servlet.DispatcherType;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.LocalConnector;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.servlet.FilterHolder;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;
import org.eclipse.jetty.util.log.Log;
import org.eclipse.jetty.util.log.StdErrLog;

/** Puts requests to the Java kit, as test/kits/harness.ts describes, byte for byte through Jetty's own parser. */
public final class Run {
    private static Instant now;

    /** Answers 200 when the body is as it was sent. */
    private static final class Compare extends HttpServlet {
        static byte[] sent;

        @Override
        protected void service(HttpServletRequest request, HttpServletResponse response) throws java.io.IOException {
            ByteArrayOutputStream got = new ByteArrayOutputStream();
            for (int one; (one = request.getInputStream().read()) >= 0; ) got.write(one);
            boolean isSame = Arrays.equals(got.toByteArray(), sent) && Holdfast.claimsOf(request) != null;
            response.setStatus(isSame ? 200 : 500);
        }
    }

    private static LocalConnector guardedBy(Holdfast kit) throws Exception {
        Server server = new Server();
        LocalConnector connector = new LocalConnector(server);
        connector.setIdleTimeout(TimeUnit.MINUTES.toMillis(2));
        server.addConnector(connector);
        ServletContextHandler context = new ServletContextHandler();
        context.addFilter(new FilterHolder(kit), "/*", EnumSet.of(DispatcherType.REQUEST));
        context.addServlet(new ServletHolder(new Compare()), "/*");
        server.setHandler(context);
        server.start();
        return connector;
    }

    @SuppressWarnings("unchecked")
    private static int send(LocalConnector to, Map<String, Object> request) throws Exception {
        byte[] body = Base64.getDecoder().decode((String) request.get("body"));
        StringBuilder head = new StringBuilder(request.get("method") + " " + request.get("target") + " HTTP/1.1\r\n");
        for (List<String> field : (List<List<String>>) request.get("headers")) {
            if (!field.get(0).equalsIgnoreCase("content-length")) head.append(field.get(0) + ": " + field.get(1) + "\r\n");
        }
        head.append("Content-Length: " + body.length + "\r\nConnection: close\r\n\r\n");
        byte[] lines = head.toString().getBytes(StandardCharsets.ISO_8859_1);
        ByteBuffer bytes = ByteBuffer.allocate(lines.length + body.length);
        bytes.put(lines).put(body).flip();
        Compare.sent = body;
        ByteBuffer answer = to.getResponse(bytes, request.get("method").equals("HEAD"), 60, TimeUnit.SECONDS);
        return Integer.parseInt(StandardCharsets.ISO_8859_1.decode(answer).toString().split(" ")[1]);
    }

    @SuppressWarnings("unchecked")
    public static void main(String[] args) throws Exception {
        StdErrLog log = new StdErrLog();
        log.setLevel(StdErrLog.LEVEL_WARN);
        Log.setLog(log);
        Map<String, Object> settings = new HashMap<>();
        Map<String, LocalConnector> guarded = new HashMap<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            Map<String, Object> said = JSONObjectUtils.parse(line);
            if (said.containsKey("jwks_url")) settings = said;
            else if (said.containsKey("now")) now = Instant.ofEpochSecond((Long) said.get("now"));
            else {
                Map<String, Object> options = (Map<String, Object>) said.get("options");
                String name = options.toString();
                if (!guarded.containsKey(name) || (Boolean) options.get("single_use")) {
                    settings.put("options", options);
                    Holdfast kit = Settings.apply(settings);
                    kit.clock = new Clock() {
                        @Override public Instant instant() { return now; }
                        @Override public ZoneOffset getZone() { return ZoneOffset.UTC; }
                        @Override public Clock withZone(java.time.ZoneId zone) { return this; }
                    };
                    guarded.put(name, guardedBy(kit));
                }
                List<Integer> answers = new ArrayList<>();
                for (int i = Boolean.TRUE.equals(said.get("repeat")) ? 2 : 1; i > 0; i--) {
                    answers.add(send(guarded.get(name), (Map<String, Object>) said.get("request")));
                }
                System.out.println(answers);
            }
        }
        System.exit(0);
    }
}
