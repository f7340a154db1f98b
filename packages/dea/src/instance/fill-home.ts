import type { Container } from "../container/container.ts";
import type { HeldDroplet } from "../droplet/store.ts";
import { unpack } from "../droplet/unpack.ts";

/** Puts the droplet into a container's home: shared with others where droplet and backend allow, else unpacked. Throws as `unpack` does. */
export async function fillHome(container: Container, droplet: HeldDroplet, options: { maxBytes: number; signal: AbortSignal }): Promise<void> {
  if (container.layHome && droplet.layer && (await container.layHome(await droplet.layer(options)))) return;
  options.signal.throwIfAborted();
  await unpack(droplet.path, container.homeDir, options);
}
