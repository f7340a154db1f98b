import { buffer, latestPerKey } from "../policy.ts";
import { message } from "../schema.ts";
import { DiegoDesire, DiegoStaging, DiegoDockerStaging, DiegoStaged, DiegoStop, olderBuild, olderBuildWords, olderDesire, olderDesireWords } from "./shapes/diego.ts";

export { DiegoDesire, DiegoStaging, DiegoDockerStaging, DiegoStaged, DiegoStop } from "./shapes/diego.ts";

// The year in which the controller reached Diego over the bus, before it did over HTTP.
const toBridge = { from: ["controller"], to: ["diego-bridge"], era: "v2b" } as const;
const processes = { upgrade: olderDesire, older: olderDesireWords } as const;
const builds = { upgrade: olderBuild, older: olderBuildWords } as const;
const orders = buffer(1_000, 60_000);
/** Said once, and a build waits for it. */
const results = { from: ["diego-bridge"], to: ["controller"], queue: "cc", era: "v2b", onDisconnect: buffer(1_000, 900_000), id: "task_id" } as const;

export const diegoDesireApp = message("diego.desire.app", DiegoDesire, { about: "Run this process with so many instances.", ...toBridge, onDisconnect: latestPerKey("process_guid"), ...processes });
export const diegoDockerDesireApp = message("diego.docker.desire.app", DiegoDesire, { about: "The same, from an image.", ...toBridge, onDisconnect: latestPerKey("process_guid"), ...processes });
export const diegoStopIndex = message("diego.stop.index", DiegoStop, { about: "Stop one instance; another takes its place.", ...toBridge, onDisconnect: orders });
export const diegoStagingStart = message("diego.staging.start", DiegoStaging, { about: "Stage this package.", ...toBridge, onDisconnect: orders, id: "task_id", ...builds });
export const diegoDockerStagingStart = message("diego.docker.staging.start", DiegoDockerStaging, { about: "Look into this image for what it runs.", ...toBridge, onDisconnect: orders, id: "task_id", ...builds });
export const diegoStagingFinished = message("diego.staging.finished", DiegoStaged, { about: "A build has ended.", ...results });
export const diegoDockerStagingFinished = message("diego.docker.staging.finished", DiegoStaged, { about: "An image has been looked into.", ...results });
