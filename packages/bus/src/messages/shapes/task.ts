import { Type } from "@sinclair/typebox";
import { EgressRule, Fields, Strings, Text } from "./common.ts";
import { Limits, LogSource } from "./instance.ts";

const Flagged = Type.Optional(Type.Boolean());

/** A command to run once in a droplet. Links, services and variables may hold secrets: never log them. */
export const TaskMessage = Type.Object({
  /** Chosen by whoever asks: the same id again is the same task. */
  task_id: Type.String(),
  /** The app whose droplet it is. */
  droplet: Type.String(),
  command: Type.String(),
  name: Type.Optional(Type.String()),
  version: Type.Optional(Type.String()),
  executableUri: Type.String(),
  sha1: Text,
  sha256: Text,
  stack: Type.Optional(Type.String()),
  limits: Limits,
  /** `K=V`, split at the first `=`. */
  env: Type.Optional(Strings),
  services: Type.Optional(Type.Array(Fields)),
  vcap_services: Type.Optional(Fields),
  vcap_application: Type.Optional(Fields),
  /** Seconds from its first instruction; one hour where it is absent. */
  timeout: Type.Optional(Type.Number()),
  runtime: Text,
  egress_network_rules: Type.Optional(Type.Array(EgressRule)),
  log_source: Type.Optional(LogSource),
  /** Limits that must be kept by the kernel, not by looking; who does not keep one refuses. */
  requires: Type.Optional(Strings),
  /** Names one delivery to one executor: what a placement counts by. */
  command_id: Type.Optional(Type.String()),
});

/** What became of a task. `exit_status` is 128+N for signal N and -1 where it is not known; times are seconds since the epoch. */
export const TaskFacts = Type.Object({
  dea: Type.String(),
  task_id: Type.String(),
  droplet: Type.String(),
  name: Type.Optional(Type.String()),
  state: Type.Union(["PENDING", "RUNNING", "CANCELING", "SUCCEEDED", "FAILED"].map((state) => Type.Literal(state))),
  /** Of one that has ended: `exit:N`, `signal:NAME`, `oom`, `disk-quota`, `timeout`, `cancelled`, `droplet`, `start-failed`, `lost`. */
  reason: Type.Optional(Type.String()),
  description: Type.Optional(Type.String()),
  exit_status: Type.Optional(Type.Integer()),
  started_at: Type.Optional(Type.Number()),
  ended_at: Type.Optional(Type.Number()),
  duration_ms: Type.Optional(Type.Number()),
  log_tail: Type.Optional(Strings),
});

/** None of both means every task. */
export const TaskFilter = Type.Object({ task_id: Type.Optional(Type.String()), droplet: Type.Optional(Type.String()), include_ended: Flagged });
