import com.nimbusds.jose.util.JSONObjectUtils;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The kit with the options of kits/README.md, and what the backends of the tests answer. */
final class Settings {
    private Settings() { }

    static Holdfast parse(String json) throws Exception {
        return apply(JSONObjectUtils.parse(json));
    }

    @SuppressWarnings("unchecked")
    static Holdfast apply(Map<String, Object> settings) {
        Map<String, Object> options = (Map<String, Object>) settings.get("options");
        Holdfast kit = new Holdfast((String) settings.get("issuer"), (String) options.get("audience"), (String) settings.get("jwks_url"));
        kit.tiers = (List<String>) options.get("tiers");
        kit.bindings = (List<String>) options.get("bindings");
        kit.bodyDigest = (Boolean) options.get("body_digest");
        kit.singleUse = (Boolean) options.get("single_use");
        return kit;
    }

    static String answer(Object subject, Object tier, int bytes, String assertion) {
        Map<String, Object> said = new HashMap<>();
        said.put("sub", subject);
        said.put("tier", tier);
        said.put("bytes", bytes);
        said.put("assertion", assertion);
        return JSONObjectUtils.toJSONString(said);
    }
}
