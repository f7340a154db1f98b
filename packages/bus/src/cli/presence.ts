import { type Member, registry } from "../presence.ts";
import type { Transport } from "../transport.ts";
import { ask } from "./ask.ts";

/** Where the store tells what it has under the name of the bucket (ADR-8, JetStream API). */
const info = "$JS.API.STREAM.INFO.KV_presence";

/** Who is present in shared state; nobody where there is none, or where this user may not look. Who only looks makes no bucket. */
export async function presentMembers(transport: Transport, waitMs: number, signal: AbortSignal): Promise<Member[]> {
  try {
    for await (const { text } of ask(transport, { subject: info, data: "", max: 1, waitMs, signal })) {
      if (!Object.hasOwn(JSON.parse(text) as object, "config")) return [];
      await using members = registry({ transport }, { timeoutMs: waitMs });
      return await members.list({ signal });
    }
  } catch {
    // Discovery is enough.
  }
  return [];
}
