import { Type } from "@sinclair/typebox";

/** Text that may be absent or null: both mean the same. */
export const Text = Type.Optional(Type.Union([Type.String(), Type.Null()]));
export const Strings = Type.Array(Type.String());
/** A number for each name, such as instances for each app. */
export const Counts = Type.Record(Type.String(), Type.Integer());
/** Whatever a sender has put there. */
export const Fields = Type.Record(Type.String(), Type.Unknown());
export const Port = Type.Integer({ minimum: 0, maximum: 65_535 });
/** Name and password. */
export const Credentials = Type.Array(Type.String());
/** A question without words, or an announcement that its subject says in full. */
export const Nothing = Type.Object({});

/** What an app may reach (dea_ng `EgressRulesMapper`); `ports` is `80,443` or `8000-9000`, `type` and `code` are those of ICMP. */
export const EgressRule = Type.Object({
  protocol: Type.String(),
  destination: Type.Optional(Type.String()),
  ports: Text,
  type: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  code: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  log: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
});
