import java.io.*;
import java.net.URLDecoder;
import java.nio.charset.Charset;
import java.util.*;
import javax.servlet.*;
import javax.servlet.http.*;

/** A request whose body was read and compared with `bdh`, and is read again by who comes after: as a stream, or as a form. */
final class HeldRequest extends HttpServletRequestWrapper {
    private final byte[] body;
    private final ServletInputStream stream;
    private BufferedReader reader;
    private Map<String, String[]> parameters;

    /** Throws unless `bdh` is of this body; null: there must be none. */
    HeldRequest(HttpServletRequest request, int limit, Object bdh) throws Exception {
        super(request);
        ByteArrayOutputStream read = new ByteArrayOutputStream();
        byte[] chunk = new byte[8192];
        for (int size; (size = request.getInputStream().read(chunk)) >= 0; read.write(chunk, 0, size))
            Holdfast.demand(read.size() <= limit);
        body = read.toByteArray();
        Holdfast.demand(body.length <= limit && Objects.equals(bdh, body.length == 0 ? null : Holdfast.hash(body)));
        stream = streamOf(new ByteArrayInputStream(body));
    }

    private static ServletInputStream streamOf(ByteArrayInputStream left) {
        return new ServletInputStream() {
            @Override public int read() { return left.read(); }
            @Override public int read(byte[] into, int at, int size) { return left.read(into, at, size); }
            @Override public int available() { return left.available(); }
            @Override public boolean isFinished() { return left.available() == 0; }
            @Override public boolean isReady() { return true; }
            @Override public void setReadListener(ReadListener listener) {
                try {
                    if (!isFinished()) listener.onDataAvailable();
                    listener.onAllDataRead();
                } catch (IOException error) { listener.onError(error); }
            }
        };
    }

    @Override public ServletInputStream getInputStream() { return stream; }
    @Override public BufferedReader getReader() {
        if (reader == null) reader = new BufferedReader(new InputStreamReader(stream, charset("ISO-8859-1")));
        return reader;
    }

    /** The container's own are of the query alone: it finds no form any more. */
    @Override public Map<String, String[]> getParameterMap() {
        if (parameters != null) return parameters;
        String type = String.valueOf(getContentType()).split(";", 2)[0].trim();
        if (!type.equalsIgnoreCase("application/x-www-form-urlencoded")) return super.getParameterMap();
        Map<String, List<String>> all = new LinkedHashMap<>();
        super.getParameterMap().forEach((name, values) -> all.put(name, new ArrayList<>(Arrays.asList(values))));
        for (String pair : new String(body, charset("UTF-8")).split("&")) {
            if (pair.isEmpty()) continue;
            String[] parts = pair.split("=", 2);
            List<String> values = all.computeIfAbsent(decode(parts[0]), name -> new ArrayList<>());
            values.add(parts.length > 1 ? decode(parts[1]) : "");
        }
        parameters = new LinkedHashMap<>();
        all.forEach((name, values) -> parameters.put(name, values.toArray(new String[0])));
        return parameters;
    }
    @Override public String[] getParameterValues(String name) { return getParameterMap().get(name); }
    @Override public String getParameter(String name) {
        String[] values = getParameterValues(name);
        return values == null ? null : values[0];
    }
    @Override public Enumeration<String> getParameterNames() { return Collections.enumeration(getParameterMap().keySet()); }

    private Charset charset(String otherwise) {
        return Charset.forName(getCharacterEncoding() == null ? otherwise : getCharacterEncoding());
    }
    private String decode(String text) {
        try {
            return URLDecoder.decode(text, charset("UTF-8").name());
        } catch (UnsupportedEncodingException never) { // it is a Charset's name
            throw new IllegalArgumentException(never);
        }
    }
}
