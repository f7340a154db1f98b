import { natsTransport } from "../nats-transport.ts";
import type { Transport } from "../transport.ts";
import { connectionOf, type ConnectionValues } from "./options.ts";
import type { Terminal } from "./terminal.ts";

/** Opens the bus that the flags name. @throws Misuse, BusError as `natsTransport` */
export const connect = (values: ConnectionValues, { env, signal }: Pick<Terminal, "env" | "signal">): Promise<Transport> =>
  natsTransport({ ...connectionOf(values, env), signal })();

/** The addresses without what they let in with. */
export const shownServers = (values: ConnectionValues, env: NodeJS.ProcessEnv): string =>
  [connectionOf(values, env).servers].flat().map((each) => each.replace(/\/\/[^@/]*@/, "//***@")).join(", ");
