import { keepRegistered } from "../doors.ts";
import { startLogs } from "../logs/start.ts";
import { assemble } from "../parts.ts";
import type { RoleContext } from "./context.ts";
import { createMember } from "./member.ts";

/** Keeps what apps print; who may read it is the controller's to say. */
export const logsRole = (context: RoleContext): Promise<AsyncDisposable> => assemble(async (parts) => {
  const { config, bus, directory, log } = context;
  const mayRead = async (sourceId: string, token: string): Promise<boolean> => {
    const answer = await directory.fetch("CloudController", `/internal/v4/log_access/${encodeURIComponent(sourceId)}`, {
      headers: { authorization: `bearer ${token}` }, signal: AbortSignal.timeout(5_000),
    });
    await answer.arrayBuffer();
    return answer.ok;
  };
  const logs = parts.use(await startLogs({ bus, mayRead, dataDir: config.dataDir, host: config.internalHost, logger: log("logs") }));
  parts.use(await createMember(context, { type: "LogCache", address: logs }));
  parts.use(keepRegistered(bus, { host: logs.host, port: logs.port, uris: [`log-cache.${config.domain}`], tags: { component: "log-cache" } }));
  return {};
});
