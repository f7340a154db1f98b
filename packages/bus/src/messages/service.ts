import { Type } from "@sinclair/typebox";
import { latestPerKey } from "../policy.ts";
import { message } from "../schema.ts";
import { Fields } from "./shapes/common.ts";
import {
  BindRequest, NodeGrant, ServiceHandles, NodeAnnouncement, NodeHandles, ProvisionRequest, PurgeRequest, RestoreRequest, NodeAnswer, UnbindRequest, UnprovisionRequest,
} from "./shapes/service.ts";

export {
  BindRequest, NodeGrant, ServiceHandles, NodeAnnouncement, NodeHandles, ProvisionRequest, PurgeRequest, RestoreRequest, NodeAnswer, UnbindRequest, UnprovisionRequest,
} from "./shapes/service.ts";

// Services of v1 (vcap-services-base `lib/base`): a gateway speaks for a kind of service, such as `MysqlaaS`, and has nodes that do the work.
const toNode = { from: ["service-gateway"], to: ["service-node"], era: "v1-v2a" } as const;
const toGateway = { from: ["service-node"], to: ["service-gateway"], era: "v1-v2a" } as const;

export const serviceDiscover = message("{service}.discover", Type.Object({ plan: Type.Optional(Type.String()) }), {
  about: "Nodes of this plan, or all: say who you are. A node may answer or announce itself.", ...toNode, reply: NodeAnnouncement,
});
export const serviceAnnounce = message("{service}.announce", NodeAnnouncement, {
  about: "A node and its room, at its start and every 30 s.", ...toGateway, ttlMs: 300_000, onDisconnect: latestPerKey("id"),
});
export const serviceProvision = message("{service}.provision.{node}", ProvisionRequest, { about: "Make an instance.", ...toNode, reply: NodeGrant });
export const serviceUnprovision = message("{service}.unprovision.{node}", UnprovisionRequest, { about: "Delete an instance and its bindings.", ...toNode, reply: NodeAnswer });
export const serviceBind = message("{service}.bind.{node}", BindRequest, { about: "Make credentials for an instance.", ...toNode, reply: NodeGrant });
export const serviceUnbind = message("{service}.unbind.{node}", UnbindRequest, { about: "These credentials open nothing any more.", ...toNode, reply: NodeAnswer });
export const serviceRestore = message("{service}.restore.{node}", RestoreRequest, { about: "Fill an instance from a backup.", ...toNode, reply: NodeAnswer });
export const serviceDisableInstance = message("{service}.disable_instance.{node}", ServiceHandles, { about: "Migration: nobody may write to this instance.", ...toNode, reply: NodeAnswer });
export const serviceEnableInstance = message("{service}.enable_instance.{node}", ServiceHandles, { about: "Migration: this instance may be used again.", ...toNode, reply: NodeAnswer });
export const serviceImportInstance = message("{service}.import_instance.{node}", ServiceHandles, { about: "Migration: take this instance from where the old node left it.", ...toNode, reply: NodeAnswer });
export const serviceUpdateInstance = message("{service}.update_instance.{node}", ServiceHandles, {
  about: "Migration: this instance is yours now. The answer has the new handles.", ...toNode, reply: Type.Union([ServiceHandles, NodeAnswer]),
});
export const serviceCleanupInstance = message("{service}.cleanupnfs_instance.{node}", ServiceHandles, { about: "Migration: remove what was left for the move.", ...toNode, reply: NodeAnswer });
export const serviceCheckOrphan = message("{service}.check_orphan", Type.String(), {
  about: "Nodes: tell what you have, so that what nobody knows is found. Plain text, not JSON.", ...toNode, codec: "text",
});
export const serviceNodeHandles = message("{service}.node_handles", NodeHandles, {
  about: "What a node has, in as many messages as it takes to stay below the payload limit.", ...toGateway, lane: "bulk",
});
export const servicePurgeOrphan = message("{service}.purge_orphan.{node}", PurgeRequest, {
  about: "Delete these: nobody knows them. Split as the list of handles is.", ...toNode, lane: "bulk",
});
export const serviceHandles = message("{service}.handles", Type.String(), {
  about: "Handles of one instance by name, or of all without one. The question is plain text.",
  from: ["tool"], to: ["service-gateway"], era: "v1-v2a", codec: "text", lane: "bulk", reply: Fields,
});
export const serviceUpdateHandle = message("{service}.update_service_handle", Fields, {
  about: "The handle of an instance or a binding has changed: tell the controller.", ...toGateway, reply: Fields,
});
