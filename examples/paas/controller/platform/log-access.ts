import { demandApp } from "../apps/app-access.ts";
import type { RouteModule } from "../api/context.ts";

/** Asked by the log store with the token of whoever wants to read: 200 for those who may see the app, 404 for all others. */
export const logAccessRoutes: RouteModule = (api, { db }) => {
  api.get("/internal/v4/log_access/:guid", async (call) => {
    await demandApp(db, call, call.guid);
    return {};
  });
};
