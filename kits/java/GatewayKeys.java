import com.nimbusds.jose.jwk.*;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import java.net.URL;

/** The keys that the gateway publishes: fetched after 10 minutes, or at an unknown `kid`, then at most every 30 s, by one thread for all. */
final class GatewayKeys {
    private final String url;
    private volatile Fetched known = new Fetched(new JWKSet(), 0);
    private long due; // when the next may be fetched

    private static final class Fetched {
        final JWKSet set;
        final long end;

        Fetched(JWKSet set, long end) { this.set = set; this.end = end; }

        JWK find(String kid, long now) { return now < end ? set.getKeyByKeyId(kid) : null; }
    }

    GatewayKeys(String url) { this.url = url; }

    /** Null: no key of this name is published, or the keys can't be fetched again. `now` is in seconds. */
    JWK find(String kid, long now) throws Exception {
        JWK found = known.find(kid, now);
        if (found != null) return found;
        synchronized (this) {
            if (known.find(kid, now) == null && now >= due) {
                due = now + 1; // should this one fail
                String answer = new DefaultResourceRetriever(5000, 5000, 65536).retrieveResource(new URL(url)).getContent();
                known = new Fetched(JWKSet.parse(answer), now + 600);
                due = now + 30;
            }
            return known.find(kid, now);
        }
    }
}
