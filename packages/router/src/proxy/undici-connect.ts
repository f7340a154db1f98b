import { isIP, type Socket } from "node:net";
import { buildConnector } from "undici";
import type { Backend } from "../endpoint.ts";
import { backendTls } from "./backend-tls.ts";
import { timeDial, type DialTimes } from "./dial-times.ts";
import type { ProxySettings } from "./settings.ts";

/**
 * The name an endpoint must prove is the instance's, never the `Host` of the request, which undici would take by itself:
 * that is the same for all instances, and says nothing about which one answers.
 */
export function serverNameOf({ serverName, host }: Backend): string {
  const name = serverName || host;
  // A name may be asked for, an address must not be (RFC 6066, 3).
  return isIP(name) === 0 ? name : "";
}

export function connectorFor(backend: Backend, settings: ProxySettings): buildConnector.connector {
  const connect = buildConnector({ timeout: settings.dialTimeoutMs, ...(backend.tls ? backendTls(backend, settings) as buildConnector.BuildOptions : {}) });
  return (options, callback) => {
    let times: DialTimes | undefined;
    const socket = connect(backend.tls ? { ...options, servername: serverNameOf(backend) } : options, (...outcome) => {
      // undici hands a new connection to the request it was made for before anything else happens: what stands here then is its own.
      fresh.set(backend, times);
      setImmediate(forgetFresh, backend);
      callback(...outcome);
    }) as unknown as Socket | undefined;
    if (socket !== undefined) {
      times = timeDial(socket, backend.tls);
      watchDeath(socket);
    }
  };
}

/**
 * What a connection dies of, while its `error` and its `close` are being told. undici takes some resets for an ordinary end:
 * then a body that ends with its connection would look complete, and a head cut off would look like a connection closed.
 */
let death: NodeJS.ErrnoException | undefined;
const forgetDeath = (): void => { death = undefined; };

/** The system's word for the end that undici tells of just now, if there is one. */
export const deathNow = (): NodeJS.ErrnoException | undefined => death;

function watchDeath(socket: Socket): void {
  let cause: NodeJS.ErrnoException | undefined;
  const tell = (): void => {
    death = cause;
    queueMicrotask(forgetDeath);
  };
  socket.prependListener("error", (error: NodeJS.ErrnoException) => {
    // Only what the system or the other side's TLS says; undici ends connections with errors of its own.
    if (error.syscall === undefined && error.code?.startsWith("ERR_SSL_") !== true) return;
    // TLS 1.3 tells late that a certificate of ours is not good enough: as an alert, and then as the end, which must not hide it.
    if (cause !== undefined) return;
    cause = error;
    tell();
  });
  socket.prependListener("close", tell);
}

/** By address, how long the connection took that was made in this turn of the event loop. */
const fresh = new WeakMap<Backend, DialTimes | undefined>();
const forgetFresh = (backend: Backend): void => void fresh.delete(backend);

/** What the connection took that was just made for a request; undefined when it got one that stood open. */
export function takeFresh(backend: Backend): DialTimes | undefined {
  const times = fresh.get(backend);
  if (times !== undefined) fresh.delete(backend);
  return times;
}
