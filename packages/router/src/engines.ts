import { RouterError } from "./errors.ts";
import { createNativeEngine } from "./native/native-engine.ts";
import type { Engine } from "./proxy/exchange.ts";
import type { ProxySettings } from "./proxy/settings.ts";
import { createUndiciEngine } from "./proxy/undici-engine.ts";

const engines = { undici: createUndiciEngine, native: createNativeEngine } as const;

/**
 * The engines that come with the package: `undici` (node:http towards clients, undici towards endpoints), and `native` (the router's own
 * HTTP/1.1 on plain sockets on both sides: cheaper, and stricter about what it reads). For `RouterOptions.engine`.
 */
export type EngineName = keyof typeof engines;

/**
 * The engine that an option names, or makes.
 * @throws {RouterError} ROUTER_BAD_OPTION
 */
export function engineFor(option: EngineName | ((settings: ProxySettings) => Engine), settings: ProxySettings): Engine {
  if (typeof option === "function") return option(settings);
  if (!Object.hasOwn(engines, option)) throw new RouterError("ROUTER_BAD_OPTION", `engine ${JSON.stringify(option)}: expected one of ${Object.keys(engines).join(", ")}`);
  return engines[option](settings);
}
