// Tells whether a callback is genuine. Standard library only.
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Verify {
    static final long TOLERANCE_SECONDS = 300;

    /** secret is "whsec_...", body the very bytes that came, the others are headers. */
    static boolean isGenuine(String secret, String id, String timestamp, String signatures, byte[] body)
            throws Exception {
        if (!timestamp.matches("[0-9]{1,18}")) {
            return false;
        }
        long off = System.currentTimeMillis() / 1000 - Long.parseLong(timestamp);
        if (Math.abs(off) > TOLERANCE_SECONDS) {
            return false;
        }
        byte[] key = Base64.getDecoder().decode(secret.replaceFirst("^whsec_", ""));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
        String digest = Base64.getEncoder().encodeToString(mac.doFinal(body));
        byte[] expected = ("v1," + digest).getBytes(StandardCharsets.UTF_8);
        // Two while a secret is being rotated.
        boolean isOne = false;
        for (String one : signatures.split(" ")) {
            isOne |= MessageDigest.isEqual(expected, one.getBytes(StandardCharsets.UTF_8));
        }
        return isOne;
    }

    public static void main(String[] args) throws Exception {
        boolean ok = isGenuine(System.getenv("WEBHOOK_SECRET"), System.getenv("WEBHOOK_ID"),
                System.getenv("WEBHOOK_TIMESTAMP"), System.getenv("WEBHOOK_SIGNATURE"), System.in.readAllBytes());
        System.exit(ok ? 0 : 1);
    }
}
