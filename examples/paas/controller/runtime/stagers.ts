import { type Bus, BusError, type Reply } from "@opencf/bus";
import { stagingAdvertise, stagingLocate, stagingStart, stagingStop } from "@opencf/bus/messages";
import { presenceTtlMs } from "./actual.ts";
import { StageFailure, type StageRequest, type StageResult } from "./runtime.ts";

/** How long a stager may take to say that it has begun. */
const setupTimeoutMs = 60_000;
/** What the stager needs beside the buildpacks' own time: download, upload, the way back. */
const transferMs = 120_000;

export interface Stagers extends Disposable {
  /** @throws StageFailure */
  stage(request: StageRequest, options?: { signal?: AbortSignal }): Promise<StageResult>;
  cancel(appGuid: string): void;
}

interface Stager { stacks: readonly string[]; memoryMb: number; seenAtMs: number }

/** Hands builds to stagers that have announced themselves, and gives up on one that falls silent. */
export function createStagers(bus: Bus, { now = Date.now }: { now?: () => number } = {}): Stagers {
  const known = new Map<string, Stager>();
  const running = new Map<string, Set<AbortController>>();
  const heard = bus.subscribe(stagingAdvertise, ({ body }) =>
    void known.set(body.id, { stacks: body.stacks, memoryMb: body.available_memory, seenAtMs: now() }));
  bus.publish(stagingLocate, {});

  const living = (): [string, Stager][] => {
    for (const [id, { seenAtMs }] of known) if (bus.connected && now() - seenAtMs > presenceTtlMs) known.delete(id);
    return [...known];
  };

  const choose = async (request: StageRequest): Promise<string> => {
    if (living().length === 0) {
      // Perhaps it is only starting up.
      bus.publish(stagingLocate, {});
      for (let i = 0; i < 20 && living().length === 0; i++) await new Promise((done) => setTimeout(done, 100));
    }
    const all = living();
    if (all.length === 0) throw new StageFailure("StagerUnavailable", "No stager is running: start a process with the role stager.");
    const stacked = all.filter(([, { stacks }]) => stacks.includes(request.stack));
    if (stacked.length === 0) throw new StageFailure("NoCompatibleCell", `No stager has the stack ${request.stack}.`);
    const roomy = stacked.filter(([, { memoryMb }]) => memoryMb >= request.memoryMb).sort(([, a], [, b]) => b.memoryMb - a.memoryMb);
    const best = roomy[0];
    if (!best) throw new StageFailure("InsufficientResources", `No stager has ${request.memoryMb} MB of memory left for this build. Try again when others have finished.`);
    return best[0];
  };

  /** Aborts when the stager has fallen silent: its work is lost, and the user should not wait for the whole limit. */
  const watch = (id: string, stop: AbortController): Disposable => {
    const timer = setInterval(() => {
      if (living().every(([other]) => other !== id))
        stop.abort(new StageFailure("StagingError", "The stager that ran this build has gone away. Push or restage again."));
    }, 1_000);
    timer.unref();
    return { [Symbol.dispose]: () => clearInterval(timer) };
  };

  return {
    async stage(request, { signal } = {}) {
      const id = await choose(request);
      const stop = new AbortController();
      const mine = running.get(request.appGuid) ?? new Set();
      running.set(request.appGuid, mine.add(stop));
      using _watch = watch(id, stop);
      const limit = AbortSignal.any([stop.signal, ...(signal ? [signal] : [])]);
      try {
        return result(await converse(bus, id, request, limit));
      } catch (error) {
        if (error instanceof BusError) throw new StageFailure("StagingError", busWords(error), { cause: error });
        throw error;
      } finally {
        mine.delete(stop);
        if (limit.aborted && bus.connected) bus.publish(stagingStop, { app_id: request.appGuid, task_id: request.buildGuid });
      }
    },
    cancel(appGuid) {
      for (const stop of running.get(appGuid) ?? []) stop.abort(new StageFailure("StagingError", "The build was cancelled."));
      if (bus.connected) bus.publish(stagingStop, { app_id: appGuid });
    },
    [Symbol.dispose]: () => heard[Symbol.dispose](),
  };
}

type Answer = Reply<typeof stagingStart>;
type Done = Extract<Answer, { app_id: string }>;

async function converse(bus: Bus, id: string, request: StageRequest, signal: AbortSignal): Promise<Done> {
  const answers = bus.replies(stagingStart, {
    app_id: request.appGuid,
    task_id: request.buildGuid,
    stack: request.stack,
    properties: {
      buildpacks: [...request.buildpacks],
      environment: Object.entries(request.environment).map(([name, value]) => `${name}=${value}`),
      vcap_application: { ...request.vcapApplication },
      vcap_services: { ...request.vcapServices },
      ...(request.startCommand !== undefined && { meta: { command: request.startCommand } }),
      resources: { mem: request.memoryMb, disk: request.diskMb, fds: 16_384 },
    },
    download_uri: request.packageUrl,
    upload_uri: request.dropletUploadUrl,
    ...(request.cacheDownloadUrl !== undefined && { buildpack_cache_download_uri: request.cacheDownloadUrl }),
    ...(request.cacheUploadUrl !== undefined && { buildpack_cache_upload_uri: request.cacheUploadUrl }),
    memory_limit: request.memoryMb,
    disk_limit: request.diskMb,
    timeout_seconds: request.timeoutSeconds,
    log_source: { source_id: request.appGuid, tags: { app_id: request.appGuid, app_name: request.appName } },
  }, { params: { id }, timeoutMs: setupTimeoutMs + request.timeoutSeconds * 1_000 + transferMs, signal });
  for await (const answer of answers) {
    if (isDone(answer)) return answer;
    if (answer.error) throw new StageFailure("StagingError", answer.error);
  }
  throw new StageFailure("StagingError", "The stager ended the conversation without a result.");
}

const isDone = (answer: Answer): answer is Done => "app_id" in answer;

function result(done: Done): StageResult {
  if (done.error_info) throw new StageFailure(done.error_info.type, done.error_info.message);
  if (done.error) throw new StageFailure("StagingError", done.error);
  if (!done.droplet_sha1 || !done.droplet_sha256 || done.droplet_size_bytes === undefined)
    throw new StageFailure("StagingError", "The stager returned no droplet.");
  return {
    sha1: done.droplet_sha1,
    sha256: done.droplet_sha256,
    sizeBytes: done.droplet_size_bytes,
    processTypes: done.process_types ?? {},
    sidecars: (done.sidecars ?? []).map(({ name, command, process_types, memory }) => ({
      name, command, processTypes: process_types, ...(memory !== undefined && { memoryMb: memory }),
    })),
    buildpacks: (done.buildpacks ?? []).map(({ key, name, version, detect_output, buildpack_name }) => ({
      key, name: name ?? null, version: version ?? null, detectOutput: detect_output ?? null, buildpackName: buildpack_name ?? null,
    })),
    detectedBuildpack: done.detected_buildpack ?? null,
  };
}

const busWords = ({ code }: BusError): string =>
  code === "BUS_NO_RESPONDERS" || code === "BUS_DISCONNECTED" || code === "BUS_CLOSED"
    ? "The stager could not be reached. Push or restage again."
    : "The stager did not answer in time.";
