// Places a call: RINGPOST is the address, KEY is keyId:secret. Node 18 or newer, no packages.
import { randomUUID } from "node:crypto";

const RETRIED = [429, 503];
const WORTH_WAITING_S = 5; // a code that comes later than that is better sent another way

// The same body again rings once, so that it may be repeated.
export async function placeCall(url, key, call, tries = 3) {
  for (let left = tries - 1; ; left--) {
    let reply;
    try {
      reply = await fetch(`${url}/api/make-call`, {
        method: "POST",
        headers: { Authorization: `Basic ${Buffer.from(key).toString("base64")}`, "Content-Type": "application/json" },
        body: JSON.stringify(call),
        signal: AbortSignal.timeout(10_000),
      });
    } catch (error) { // no answer: the message may be stored
      if (!left) throw error;
    }
    const waitSeconds = Number.parseInt(reply?.headers.get("retry-after") ?? "1", 10) || 1;
    const isRetried = reply && RETRIED.includes(reply.status) && waitSeconds <= WORTH_WAITING_S;
    if (reply && (!isRetried || !left)) return { status: reply.status, answer: await reply.json() };
    await new Promise((resolve) => setTimeout(resolve, waitSeconds * 1000));
  }
}

const { status, answer } = await placeCall(process.env.RINGPOST, process.env.KEY, {
  messageId: `login-${randomUUID()}`,
  customerPhone: "+6581234567",
  message: "Your Acme code is {code}.",
  code: "482915",
});
console.log(JSON.stringify(answer));
process.exitCode = status === 200 ? 0 : 1;
