import { checkBody, isPlain } from "../api/checks.ts";

export interface DeploymentOptions {
  max_in_flight: number;
  web_instances?: number;
  memory_in_mb?: number;
  disk_in_mb?: number;
  log_rate_limit_in_bytes_per_second?: number;
  canary?: { steps: { instance_weight: number }[] };
}

export interface DeploymentRequest {
  appGuid: string;
  dropletGuid?: string;
  revisionGuid?: string;
  strategy: "rolling" | "canary";
  options: DeploymentOptions;
  metadata?: Record<string, unknown>;
}

/** Reads the body of `POST /v3/deployments`; options that are null count as absent. */
export function readDeployment(body: unknown): { request?: DeploymentRequest; problems: string[] } {
  const checks = checkBody(body, ["relationships", "droplet", "revision", "strategy", "options", "metadata"]);
  const fields = isPlain(body) ? body : {};
  const appGuid = checks.relationship("app");
  const dropletGuid = isPlain(fields["droplet"]) && typeof fields["droplet"]["guid"] === "string" ? fields["droplet"]["guid"] : undefined;
  const revisionGuid = isPlain(fields["revision"]) && typeof fields["revision"]["guid"] === "string" ? fields["revision"]["guid"] : undefined;
  const strategy = fields["strategy"] ?? "rolling";
  if (strategy !== "rolling" && strategy !== "canary") checks.add(`Strategy '${String(strategy)}' is not a supported deployment strategy`);
  if (dropletGuid !== undefined && revisionGuid !== undefined) checks.add("Droplet Cannot set both fields 'droplet' and 'revision'");
  const metadata = checks.object("metadata");
  const { options, problems } = readOptions(fields["options"], strategy === "canary");
  checks.add(...problems);
  if (checks.problems.length > 0 || appGuid === undefined) return { problems: checks.problems };
  return {
    problems: [],
    request: {
      appGuid, strategy: strategy as DeploymentRequest["strategy"], options,
      ...(dropletGuid !== undefined && { dropletGuid }), ...(revisionGuid !== undefined && { revisionGuid }), ...(metadata && { metadata }),
    },
  };
}

function readOptions(given: unknown, canary: boolean): { options: DeploymentOptions; problems: string[] } {
  const none = { options: { max_in_flight: 1, ...(canary && { canary: { steps: [] } }) }, problems: [] };
  if (given === undefined || given === null) return none;
  if (!isPlain(given)) return { ...none, problems: ["Options must be an object"] };
  const allowed = ["canary", "max_in_flight", "web_instances", "memory_in_mb", "disk_in_mb", "log_rate_limit_in_bytes_per_second"];
  const strange = Object.keys(given).filter((key) => !allowed.includes(key));
  const checks = checkBody(given, allowed.concat(strange));
  if (strange.length > 0) checks.add(`Options has unsupported key(s): ${strange.join(", ")}`);
  const inFlight = given["max_in_flight"] ?? 1;
  if (!Number.isInteger(inFlight) || (inFlight as number) < 1) checks.add("Max in flight must be an integer greater than 0");
  const webInstances = checks.integer("web_instances", { min: 0 });
  const memory = checks.integer("memory_in_mb", { min: 1 });
  const disk = checks.integer("disk_in_mb", { min: 1 });
  const logRate = checks.integer("log_rate_limit_in_bytes_per_second", { min: -1, max: Number.MAX_SAFE_INTEGER });
  const steps = readSteps(given["canary"], canary, checks.problems);
  return {
    problems: checks.problems,
    options: {
      max_in_flight: inFlight as number,
      ...(typeof webInstances === "number" && { web_instances: webInstances }),
      ...(typeof memory === "number" && { memory_in_mb: memory }),
      ...(typeof disk === "number" && { disk_in_mb: disk }),
      ...(typeof logRate === "number" && { log_rate_limit_in_bytes_per_second: logRate }),
      ...(canary && { canary: { steps } }),
    },
  };
}

function readSteps(given: unknown, canary: boolean, problems: string[]): { instance_weight: number }[] {
  if (given === undefined || given === null) return [];
  if (!isPlain(given)) return fail("Options.canary must be an object");
  if (!canary) return fail("Options.canary are only valid for Canary deployments");
  const { steps } = given;
  if (steps === undefined || steps === null) return [];
  if (!Array.isArray(steps) || !steps.every(isPlain)) return fail("Options.canary.steps must be an array of objects");
  if (steps.some((step) => !("instance_weight" in step))) return fail('Options.canary.steps missing key: "instance_weight"');
  const weights = steps.map((step) => step["instance_weight"]);
  if (!weights.every((weight): weight is number => Number.isInteger(weight) && (weight as number) >= 1 && (weight as number) <= 100))
    return fail("Options.canary.steps.instance weight must be an Integer between 1-100 (inclusive)");
  if (weights.some((weight, index) => index > 0 && weight < (weights[index - 1] ?? 0))) return fail("Options.canary.steps.instance weight must be sorted in ascending order");
  return weights.map((instance_weight) => ({ instance_weight }));

  function fail(text: string): [] {
    problems.push(text);
    return [];
  }
}
