import { join } from "node:path";
import { openFolderBlobstore } from "../blobstore/folder.ts";
import { startBlobs } from "../blobstore/server.ts";
import { assemble } from "../parts.ts";
import type { RoleContext } from "./context.ts";
import { createMember } from "./member.ts";

/** Packages, droplets, caches and matched files. Other parts reach it directly, with signed links; it has no public door. */
export const blobsRole = (context: RoleContext): Promise<AsyncDisposable> => assemble(async (parts) => {
  const { config, log, secrets } = context;
  const logger = log("blobs");
  const [store, { blobs: secret }] = await Promise.all([openFolderBlobstore(join(config.dataDir, "blobs"), { logger }), secrets()]);
  const server = parts.use(await startBlobs({ store, secret, host: config.internalHost, logger }));
  parts.use(await createMember(context, { type: "Blobstore", address: server }));
  return {};
});
