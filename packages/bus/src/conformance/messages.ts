import { type TSchema, Type } from "@sinclair/typebox";
import type { DisconnectPolicy } from "../policy.ts";
import { message } from "../schema.ts";
import { fresh } from "./tools.ts";

const plain = { about: "conformance", from: "test", to: "test" } as const;

/** A question that is answered with a number and a name. */
export const question = (subject = fresh("question")) =>
  message(subject, Type.Object({ n: Type.Integer() }), { ...plain, reply: Type.Object({ n: Type.Integer(), by: Type.Optional(Type.String()) }) });

/** Something said, with a number. */
export const saying = (subject = fresh("saying"), options: { onDisconnect?: DisconnectPolicy; body?: TSchema } = {}) =>
  message(subject, Type.Object({ n: Type.Integer(), key: Type.Optional(Type.String()) }), { ...plain, ...options });
