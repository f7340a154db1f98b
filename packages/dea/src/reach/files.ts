import type { IncomingMessage, ServerResponse } from "node:http";
import type { Dea } from "../dea.ts";
import type { Instance } from "../instance/instance.ts";
import type { InstanceState } from "../instance/state.ts";
import { refuse } from "./answers.ts";
import { type PathServing, servePath } from "./serve-path.ts";
import type { LinkSigner } from "./signed-link.ts";

/** How long a link to a file is good. */
export const fileLinkMs = 3_600_000;
const signedNames = new Set(["path"]);
/** States in which files can be looked at; of a crashed instance what is kept of it. */
const readable: readonly InstanceState[] = ["RUNNING", "EVACUATING", "CRASHED"];

export const filePath = (instanceId: string): string => `/instance_paths/${instanceId}`;
export const signedFileLink = (signer: LinkSigner, instance: Pick<Instance, "id">, path: string): string => signer.sign(filePath(instance.id), { path });

/** Where an instance's files are, as far as they can be looked at; tasks have an entry here too. */
export function findInstance(dea: Pick<Dea, "instances" | "tasks">, id: string): Instance | undefined {
  return dea.instances().find((one) => one.id === id) ?? dea.tasks.list().find(({ instance }) => instance.id === id)?.instance;
}

/** `GET /instance_paths/<instance>?hmac=…&path=…&timestamp=…`, with the answers of the original, in its order. */
export async function serveSignedFile(request: IncomingMessage, response: ServerResponse, { url, dea, signer, serving }: { url: URL; dea: Dea; signer: LinkSigner; serving: PathServing }): Promise<void> {
  const [, , id = ""] = url.pathname.split("/");
  const path = url.searchParams.get("path");
  const verdict = signer.verify(url.pathname, url.searchParams, fileLinkMs, (name) => signedNames.has(name));
  if (verdict === "bad") return refuse(response, "hmac");
  if (verdict === "expired") return refuse(response, "expired");
  if (path === null) return refuse(response, "path");
  await serveInstanceFile(request, response, { dea, id, path, params: url.searchParams, serving });
}

/** The same, for who has proven already who they are. */
export async function serveInstanceFile(
  request: IncomingMessage, response: ServerResponse,
  { dea, id, path, params, serving }: { dea: Dea; id: string; path: string; params: URLSearchParams; serving: PathServing },
): Promise<void> {
  const instance = findInstance(dea, id);
  if (!instance) return refuse(response, "instance");
  const root = instance.filesDir;
  if (root === undefined || !readable.includes(instance.state)) return refuse(response, "unavailable");
  await servePath(request, response, { root, inside: instance.homeInside ?? root, path, params }, serving);
}
