import type { RouteModule } from "./context.ts";
import { jobRoutes } from "./job-routes.ts";
import { organizationRoutes } from "./orgs.ts";
import { roleRoutes } from "./roles.ts";
import { rootRoutes } from "./root.ts";
import { spaceRoutes } from "./spaces.ts";
import { userRoutes } from "./users.ts";

/** The controller's own resources, apps and services left out. */
export const coreModules: readonly RouteModule[] = [rootRoutes, jobRoutes, organizationRoutes, spaceRoutes, roleRoutes, userRoutes];
