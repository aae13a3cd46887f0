// Places a call: RINGPOST is the address, KEY is keyId:secret. Java 17 or newer, no packages.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.UUID;

public class Send {
    public static void main(String[] args) throws Exception {
        String call = """
                {"messageId": "login-%s", "customerPhone": "+6581234567",
                 "message": "Your Acme code is {code}.", "code": "482915"}""".formatted(UUID.randomUUID());
        String key = Base64.getEncoder().encodeToString(System.getenv("KEY").getBytes(StandardCharsets.UTF_8));
        HttpRequest request = HttpRequest.newBuilder(URI.create(System.getenv("RINGPOST") + "/api/make-call"))
                .header("Authorization", "Basic " + key)
                .header("Content-Type", "application/json")
                .timeout(Duration.ofSeconds(10))
                .POST(HttpRequest.BodyPublishers.ofString(call))
                .build();
        // An IOException means no answer: send the same again, it rings once.
        HttpResponse<String> reply = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(reply.body());
        System.exit(reply.statusCode() == 200 ? 0 : 1);
    }
}
