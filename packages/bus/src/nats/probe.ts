import { connect, type Socket } from "node:net";

/** Servers that follow are asked when the one before has failed, or has said nothing for so long. */
const staggerMs = 300;

/**
 * The first of some servers that speaks. The client itself forgets every server that it cannot reach at first (nats.js 2.29, `dialLoop`) and leaves
 * open what it began with a server that hangs, so it is only sent where somebody is.
 * @param silent servers say nothing before TLS: taking the connection is enough
 * @returns undefined when none does within `timeoutMs`
 */
export async function firstThatSpeaks(servers: readonly string[], timeoutMs: number, { silent, signal }: { silent: boolean; signal: AbortSignal | undefined }): Promise<string | undefined> {
  const over = new AbortController();
  const end = AbortSignal.any([over.signal, AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]);
  let before: Promise<unknown> = Promise.reject(new Error("the first waits for none"));
  try {
    return await Promise.any(
      servers.map((server) => {
        const turn = Promise.race([before.then(() => new Promise(() => undefined), () => undefined), ...(server === servers[0] ? [] : [later(staggerMs, end)])]);
        const attempt = turn.then(() => speaks(server, silent, end));
        before = attempt;
        return attempt;
      }),
    );
  } catch {
    return undefined;
  } finally {
    over.abort();
  }
}

function speaks(server: string, silent: boolean, signal: AbortSignal): Promise<string> {
  const at = server.lastIndexOf(":");
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    const socket: Socket = connect({ host: server.slice(0, at).replace(/^\[(.*)\]$/, "$1"), port: Number(server.slice(at + 1)), signal });
    const done = (): void => {
      resolve(server);
      socket.destroy();
    };
    if (silent) socket.once("connect", done);
    else socket.once("data", done);
    socket.on("error", reject);
    socket.once("close", () => reject(new Error("closed")));
  });
}

function later(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(end, ms);
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    }
    signal.addEventListener("abort", end);
  });
}
