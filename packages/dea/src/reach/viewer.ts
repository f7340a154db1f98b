import type { IncomingMessage, ServerResponse } from "node:http";
import type { Dea } from "../dea.ts";
import { listFolder } from "./listing.ts";
import { openBelow } from "../container/open-below.ts";
import { refuse, sendEntityNotFound, sendText } from "./answers.ts";
import { findInstance } from "./files.ts";
import { openInside } from "./open-inside.ts";
import { sendFile } from "./send-file.ts";
import { isEqual } from "./signed-link.ts";

/** What the first generation's viewer showed at the top of an instance, and what it never gave away. */
const shownAtTop: readonly string[] = ["app", "logs", "tomcat"];
const refusedNames: readonly string[] = ["startup", "stop"];

export const viewerPath = "/instances";

/**
 * `GET /instances/<instance>/<path>` with a name and a password (Basic), as executors of the first generation had it: no
 * link is followed at all, and only parts of the folder are shown.
 */
export async function serveViewer(request: IncomingMessage, response: ServerResponse, { url, dea, credentials }: { url: URL; dea: Dea; credentials: readonly [string, string] }): Promise<void> {
  const given = /^Basic ([A-Za-z0-9+/=]+)$/.exec(request.headers.authorization ?? "")?.[1] ?? "";
  if (!isEqual(Buffer.from(given, "base64").toString(), credentials.join(":"))) {
    return sendText(response, 401, "Not authorized\n", { "www-authenticate": "Basic realm=\"Droplet Viewer\"" });
  }
  let steps: string[];
  try {
    steps = url.pathname.split("/").slice(2).map(decodeURIComponent).filter((step) => step !== "" && step !== ".");
  } catch {
    return refuse(response, "entity");
  }
  const [id = "", ...path] = steps;
  const root = findInstance(dea, id)?.filesDir;
  if (root === undefined) return refuse(response, "instance");
  const top = path[0];
  if (path.some((step) => step === ".." || step.includes("/")) || refusedNames.includes(path.at(-1) ?? "")) return refuse(response, "outside");
  if (top !== undefined && !shownAtTop.includes(top)) return refuse(response, "entity");
  // Each folder on the way must be one: a link is refused, not followed.
  const parent = await openBelow(root, path.slice(0, -1).join("/")).catch(() => undefined);
  if (!parent) return refuse(response, "entity");
  try {
    const opened = await openInside(`/proc/self/fd/${parent.fd}/.`, "", path.at(-1) ?? "", { links: false });
    if (opened.found === "missing") return refuse(response, "entity");
    if (opened.found === "outside") return refuse(response, "outside");
    if (opened.found === "special") return sendEntityNotFound(response);
    if (opened.found === "folder") {
      await using folder = opened.handle;
      const isShown = (name: string): boolean => (top === undefined ? shownAtTop.includes(name) : !refusedNames.includes(name));
      return sendText(response, 200, await listFolder(folder, isShown));
    }
    await opened.parent.close();
    return await sendFile(request, response, opened.handle);
  } finally {
    await parent.close();
  }
}
