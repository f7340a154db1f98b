import { Type } from "@sinclair/typebox";
import { buffer } from "../policy.ts";
import { message } from "../schema.ts";
import { TaskFacts, TaskFilter, TaskMessage } from "./shapes/task.ts";

export { TaskFacts, TaskFilter, TaskMessage } from "./shapes/task.ts";

export const deaTask = message("dea.{id}.task", TaskMessage, {
  about: "Run this command once here. The answer says whether it was accepted; how it ended comes with `opencf.task.exited`.",
  from: ["controller"], to: ["executor"], era: "opencf", id: "task_id",
  // The code tells a lack of room from a task that is wrong wherever it goes.
  reply: Type.Object({ accepted: Type.Boolean(), reason: Type.Optional(Type.String()), code: Type.Optional(Type.String()) }),
});
export const taskCancel = message("opencf.task.cancel", Type.Object({ task_id: Type.String() }), {
  about: "End this task, wherever it is. Every executor hears it and looks for its own.",
  from: ["controller"], to: ["executor"], era: "opencf", onDisconnect: buffer(1_000, 60_000), id: "task_id",
});
export const taskFind = message("opencf.task.find", TaskFilter, {
  about: "What becomes of this task, or of all? One answer per task, of those that have ended too with `include_ended`; who has none is silent. Repairs a lost `opencf.task.exited`.",
  from: ["controller", "tool"], to: ["executor"], era: "opencf", lane: "bulk", reply: TaskFacts,
});
export const taskExited = message("opencf.task.exited", TaskFacts, {
  about: "A task has ended. Said at least once; whoever was away asks with `opencf.task.find`.",
  from: ["executor"], to: ["controller"], era: "opencf", onDisconnect: buffer(10_000, 900_000),
});
