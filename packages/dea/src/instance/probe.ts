import { connect } from "node:net";
import { request } from "undici";

export interface Address {
  host: string;
  port: number;
}

/** One kind of look at an app. */
export interface Probe {
  type: "port" | "http" | "process" | "none";
  path: string;
  invocationTimeoutMs: number;
}

/** One look. Never rejects. */
export async function probe(check: Probe, address: Address, signal: AbortSignal): Promise<boolean> {
  if (check.type === "process" || check.type === "none") return true;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(check.invocationTimeoutMs)]);
  return check.type === "port" ? await canConnect(address, limit) : await answersOk(address, check.path, limit);
}

function canConnect({ host, port }: Address, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (ok: boolean): void => {
      signal.removeEventListener("abort", giveUp);
      socket.destroy();
      resolve(ok);
    };
    const giveUp = (): void => end(false);
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    if (signal.aborted) giveUp();
    else signal.addEventListener("abort", giveUp, { once: true });
  });
}

async function answersOk({ host, port }: Address, path: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { statusCode, body } = await request(`http://${host.includes(":") ? `[${host}]` : host}:${port}${path}`, {
      signal,
      headers: { "user-agent": "opencf-health-check", connection: "close" },
    });
    body.on("error", () => {});
    body.destroy();
    return statusCode === 200;
  } catch {
    return false;
  }
}
