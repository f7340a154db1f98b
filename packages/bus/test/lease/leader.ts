// A leader in a process of its own: says what happens to it, and writes under its first number for ever, whatever it hears.
import { connect } from "nats";
import { fencedWriter } from "../../src/kv/fence.ts";
import { createLease } from "../../src/kv/lease.ts";
import { openNatsBucket } from "../../src/kv/nats.ts";

const [url = "", ttlMs = "1000"] = process.argv.slice(2);
const say = (event: string, data: object = {}): void => void process.stdout.write(`${JSON.stringify({ event, ...data })}\n`);

const connection = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
const leases = await openNatsBucket(connection, "leases");
const state = await openNatsBucket(connection, "state");
const lease = createLease(leases, "reconciler", { ttlMs: Number(ttlMs), holder: "child" });
lease.onChange(({ held, fencing }) => say("change", { held, fencing }));
const number = await lease.acquired();
say("acquired", { number });
const writer = fencedWriter(state, { name: lease.name, number });
for (let i = 0; ; i++) {
  await writer.put("desired", `child ${i}`).then(
    () => i === 0 && say("wrote"),
    (error: { code?: string }) => say("refused", { code: error.code }),
  );
  // Without the number: the receiver must do what the store does not.
  connection.publish("orders", `${lease.name}=${number}`);
  await new Promise((done) => setTimeout(done, 50));
}
