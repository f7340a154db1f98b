import { absentServiceRoutes } from "./absent-services.ts";
import { absentRoutes } from "./absent.ts";
import type { RouteModule } from "./context.ts";
import { destinationRoutes } from "./destinations.ts";
import { domainRoutes } from "./domains.ts";
import { eventRoutes } from "./events.ts";
import { jobRoutes } from "./job-routes.ts";
import { organizationRoutes } from "./orgs.ts";
import { buildpackRoutes, environmentGroupRoutes, featureFlagRoutes, stackRoutes } from "./platform.ts";
import { quotaRoutes } from "./quotas.ts";
import { roleRoutes } from "./roles.ts";
import { rootRoutes } from "./root.ts";
import { routeRoutes } from "./routes.ts";
import { spaceQuotaRoutes } from "./space-quotas.ts";
import { spaceRoutes } from "./spaces.ts";
import { userRoutes } from "./users.ts";

/** The controller's own resources, without apps and services. */
export const foundationModules: readonly RouteModule[] = [
  rootRoutes, jobRoutes, organizationRoutes, spaceRoutes, roleRoutes, userRoutes, domainRoutes, routeRoutes, destinationRoutes, quotaRoutes, spaceQuotaRoutes,
  featureFlagRoutes, environmentGroupRoutes, stackRoutes, buildpackRoutes, eventRoutes, absentRoutes,
];

/** The same with empty lists where services would be. Whoever has a services part takes `foundationModules` and adds it. */
export const coreModules: readonly RouteModule[] = [...foundationModules, absentServiceRoutes];
