import { absentServiceRoutes } from "./api/absent-services.ts";
import { absentRoutes } from "./api/absent.ts";
import type { RouteModule } from "./api/context.ts";
import { destinationRoutes } from "./routes/destinations.ts";
import { domainRoutes } from "./routes/domains.ts";
import { eventRoutes } from "./platform/events.ts";
import { jobRoutes } from "./api/job-routes.ts";
import { organizationRoutes } from "./organizations/orgs.ts";
import { buildpackRoutes, environmentGroupRoutes, featureFlagRoutes, stackRoutes } from "./platform/platform.ts";
import { quotaRoutes } from "./organizations/quotas.ts";
import { roleRoutes } from "./organizations/roles.ts";
import { rootRoutes } from "./api/root.ts";
import { routeRoutes } from "./routes/routes.ts";
import { segmentEntitlementRoutes } from "./organizations/segment-entitlements.ts";
import { segmentRoutes } from "./organizations/segments.ts";
import { securityGroupSpaceRoutes } from "./organizations/security-group-spaces.ts";
import { securityGroupRoutes } from "./organizations/security-groups.ts";
import { spaceQuotaRoutes } from "./organizations/space-quotas.ts";
import { spaceRoutes } from "./organizations/spaces.ts";
import { userRoutes } from "./organizations/users.ts";

/** The controller's own resources, without apps and services. */
export const foundationModules: readonly RouteModule[] = [
  rootRoutes, jobRoutes, organizationRoutes, spaceRoutes, roleRoutes, userRoutes, domainRoutes, routeRoutes, destinationRoutes, quotaRoutes, spaceQuotaRoutes, segmentRoutes, segmentEntitlementRoutes,
  securityGroupRoutes, securityGroupSpaceRoutes,
  featureFlagRoutes, environmentGroupRoutes, stackRoutes, buildpackRoutes, eventRoutes, absentRoutes,
];

/** The same with empty lists where services would be. Whoever has a services part takes `foundationModules` and adds it. */
export const coreModules: readonly RouteModule[] = [...foundationModules, absentServiceRoutes];
