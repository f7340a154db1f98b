import type { IncomingMessage } from "node:http";
import { deaStartInstance } from "@opencf/bus/messages";
import type { MoreRequests } from "../reach/control-server.ts";
import { sendJson } from "../reach/answers.ts";
import type { StartMessage } from "./start-message.ts";

export interface HttpCommandsOptions {
  /** Carries a start out once, as the bus's command is. */
  start(body: StartMessage): Promise<{ accepted: boolean; reason?: string; code?: string }>;
  /** False while the executor is being emptied or ends. */
  accepting(): boolean;
}

/** Largest command; those of the bus may not be larger either. */
const maxBodyBytes = 1024 ** 2;

async function read(request: IncomingMessage): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > maxBodyBytes) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Where another executor should be asked. */
const elsewhere: readonly string[] = ["DEA_NO_CAPACITY", "DEA_CLOSED"];

/**
 * `POST /v1/apps` with a start message: 202 accepted, 503 while the executor takes no work or has no room (controllers ask another
 * then), 400 what is wrong everywhere. `POST /v1/stage` is 404: nothing is staged here, and controllers then ask over the bus.
 * For {@link openExecutorApi}, behind client certificates (dea_ng `HttpServer`).
 */
export function createHttpCommands({ start, accepting }: HttpCommandsOptions): MoreRequests {
  return async (request, response, url) => {
    if (request.method !== "POST" || (url.pathname !== "/v1/apps" && url.pathname !== "/v1/stage")) return false;
    if (!accepting()) sendJson(response, 503, { error: "the executor takes no more work" });
    else if (url.pathname === "/v1/stage") sendJson(response, 404, { error: "nothing is staged here" });
    else {
      const body = await read(request);
      if (body === undefined) {
        response.setHeader("connection", "close");
        sendJson(response, 413, { error: "too large" });
        return true;
      }
      const parsed = deaStartInstance.body.parse(body);
      if (!parsed.ok) sendJson(response, 400, { error: parsed.issues.join("; ") });
      else {
        const { accepted, reason, code } = await start(parsed.body);
        if (accepted) sendJson(response, 202, {});
        else sendJson(response, elsewhere.includes(code ?? "") ? 503 : 400, { error: reason, code });
      }
    }
    return true;
  };
}
