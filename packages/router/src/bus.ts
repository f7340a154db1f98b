export { publishActiveApps, type ActiveAppsOptions } from "./bus/active-apps.ts";
export { logToApps, type AppLogOptions } from "./bus/app-log.ts";
