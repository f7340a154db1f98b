import { Type } from "@sinclair/typebox";
import { Fields, Strings, Text } from "./common.ts";

/** What a node says of itself; kinds of service add fields of their own. */
export const NodeAnnouncement = Type.Object({
  id: Type.String(),
  plan: Type.Optional(Type.String()),
  supported_versions: Type.Optional(Strings),
  available_capacity: Type.Optional(Type.Number()),
  capacity_unit: Type.Optional(Type.Number()),
});

/** Always there when `success` is false: an HTTP-like status, and a number with words. */
const Failure = Type.Optional(Type.Union([Fields, Type.String(), Type.Null()]));
/** Name, host, port, password and whatever the service needs: never log them. */
const Access = Type.Union([Fields, Type.Null()]);

export const NodeAnswer = Type.Object({ success: Type.Boolean(), error: Failure });
export const NodeGrant = Type.Object({ success: Type.Boolean(), credentials: Type.Optional(Access), error: Failure });

export const ProvisionRequest = Type.Object({ plan: Type.String(), credentials: Type.Optional(Access), version: Text });
export const UnprovisionRequest = Type.Object({ name: Type.String(), bindings: Type.Optional(Type.Array(Fields)) });
export const BindRequest = Type.Object({ name: Type.String(), bind_opts: Type.Optional(Access), credentials: Type.Optional(Access) });
export const UnbindRequest = Type.Object({ credentials: Fields });
export const RestoreRequest = Type.Object({ instance_id: Type.String(), backup_path: Type.String() });
/** The handle of an instance, and those of its bindings. */
export const ServiceHandles = Type.Tuple([Fields, Type.Array(Fields)]);
export const NodeHandles = Type.Object({ node_id: Type.String(), instances_list: Strings, bindings_list: Type.Array(Fields) });
export const PurgeRequest = Type.Object({ orphan_ins_list: Strings, orphan_binding_list: Type.Array(Fields) });
