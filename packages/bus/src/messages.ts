export * from "./messages/route.ts";
export * from "./messages/droplet.ts";
export * from "./messages/staging.ts";
export * from "./messages/health.ts";
export * from "./messages/component.ts";
export * from "./messages/log.ts";
export * from "./messages/service.ts";
export * from "./messages/diego.ts";
