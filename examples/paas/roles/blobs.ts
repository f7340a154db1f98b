import { join } from "node:path";
import { createComponent } from "@opencf/bus/component";
import { openFolderBlobstore } from "../blobstore/folder.ts";
import { startBlobs } from "../blobstore/server.ts";
import { assemble } from "../parts.ts";
import { platformVersion } from "../platform.ts";
import type { RoleContext } from "./context.ts";

/** Packages, droplets, caches and matched files. Other parts reach it directly, with signed links; it has no public door. */
export const blobsRole = ({ config, bus, log, secrets }: RoleContext): Promise<AsyncDisposable> => assemble(async (parts) => {
  const logger = log("blobs");
  const [store, { blobs: secret }] = await Promise.all([openFolderBlobstore(join(config.dataDir, "blobs"), { logger }), secrets()]);
  const server = parts.use(await startBlobs({ store, secret, host: config.internalHost, logger }));
  parts.use(await createComponent(bus, { type: "Blobstore", host: config.internalHost, zone: config.zone, version: platformVersion, address: server }));
  return {};
});
