import type { BlobClient } from "../blobstore/client.ts";
import { appEnvironmentRoutes } from "./apps/app-env.ts";
import { appFeatureRoutes } from "./apps/app-features.ts";
import { deleteApp } from "./apps/app-delete.ts";
import { defaultAppLimits, type AppLimits } from "./apps/app-limits.ts";
import type { AppParts } from "./apps/app-parts.ts";
import { noServices, type AppServices } from "./apps/app-services.ts";
import { appRoutes } from "./apps/apps.ts";
import { createBackground } from "./api/background.ts";
import { failInterrupted } from "./builds/build-work.ts";
import { buildRoutes } from "./builds/builds.ts";
import type { RouteModule } from "./api/context.ts";
import { createDeploymentUpdater, type UpdaterOptions } from "./deployments/deployment-updater.ts";
import { deploymentRoutes } from "./deployments/deployments.ts";
import { dropletRoutes } from "./builds/droplets.ts";
import { manifestRoutes } from "./manifests/manifests.ts";
import { packageRoutes } from "./builds/packages.ts";
import { processRoutes } from "./apps/processes.ts";
import { resourceMatchRoutes } from "./builds/resource-matches.ts";
import { revisionRoutes } from "./apps/revisions.ts";
import type { Runtime } from "./runtime/runtime.ts";
import { sidecarRoutes } from "./apps/sidecars.ts";
import { includeSpaces } from "./organizations/spaces.ts";
import { taskRoutes } from "./apps/tasks.ts";
import { emptyTempDir } from "./builds/uploads.ts";
import { createWaiting } from "./api/waiting.ts";

export interface AppModuleOptions {
  runtime: Runtime;
  blobs: BlobClient;
  /** Default: apps have no services. */
  services?: AppServices;
  /** The API's address as apps see it in VCAP_APPLICATION. */
  apiUrl: string;
  /** Folder of this controller alone for uploads under way; emptied at the start. */
  tempDir: string;
  limits?: Partial<AppLimits>;
  /** Several controllers work on this database: nobody takes the others' unfinished work for left over. Default false. */
  shared?: boolean;
  /** How often deployments under way are moved on. */
  updater?: UpdaterOptions;
  /** Whether this controller is the one of several that does the regular work. Default: always. */
  leading?: () => boolean;
}

/** How often a shared database is looked through for work whose controller is gone. */
const sweepMs = 30_000;

/**
 * The app side of the controller as a module. What a crash left behind (builds, packages, uploads under way) is ended before
 * the first request; what is under way when the API closes is ended with it.
 */
export function appModule({ runtime, blobs, services = noServices, apiUrl, tempDir, limits = {}, shared = false, updater = {}, leading = () => true }: AppModuleOptions): RouteModule {
  return (api, context) => {
    const { db, log, flags, hooks } = context;
    const parts: AppParts = { ...context, runtime, blobs, services, apiUrl, tempDir, limits: { ...defaultAppLimits, ...limits }, waiting: createWaiting() };
    const builds = createBackground({ places: 64, log });
    const uploads = createBackground({ places: parts.limits.parallelUploads, log });
    let sweeper: NodeJS.Timeout | undefined;
    const deployments = createDeploymentUpdater(parts, { ...(shared && { idleMs: 2_000 }), leading, ...updater });
    api.fastify.addHook("onReady", async () => {
      await emptyTempDir(tempDir);
      await failInterrupted(parts, { shared });
      if (shared) sweeper = setInterval(() => leading() && void failInterrupted(parts, { shared }).catch((error: unknown) => log.error("sweep.failed", { error: String(error) })), sweepMs).unref();
      deployments.wake();
    });
    api.fastify.addHook("onClose", async () => {
      clearInterval(sweeper);
      await Promise.all([deployments[Symbol.asyncDispose](), builds[Symbol.asyncDispose](), uploads[Symbol.asyncDispose]()]);
    });
    hooks.deleteApp = ({ guid }, actor) => deleteApp(parts, guid, actor);
    hooks.onRoutesChanged = (processGuids) => runtime.converge(processGuids);

    appRoutes(api, parts, { space: includeSpaces(db), "space.organization": includeSpaces(db, true) });
    appEnvironmentRoutes(api, parts, flags);
    appFeatureRoutes(api, parts);
    processRoutes(api, parts, flags);
    packageRoutes(api, parts, flags, uploads);
    resourceMatchRoutes(api, parts, flags);
    buildRoutes(api, parts, builds);
    dropletRoutes(api, parts, uploads);
    sidecarRoutes(api, parts);
    taskRoutes(api, parts, flags);
    deploymentRoutes(api, parts, deployments);
    revisionRoutes(api, parts);
    manifestRoutes(api, parts);
  };
}
