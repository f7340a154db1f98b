import { allowedSyscalls, refusedSyscalls } from "./syscalls.ts";

/** One entry of `linux.seccomp.syscalls` (OCI runtime specification, config-linux). */
export interface SeccompRule {
  names: readonly string[];
  action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  errnoRet?: number;
  args?: readonly { index: number; value: number; valueTwo?: number; op: "SCMP_CMP_EQ" | "SCMP_CMP_NE" | "SCMP_CMP_MASKED_EQ" }[];
}

export interface SeccompProfile {
  defaultAction: "SCMP_ACT_ERRNO";
  defaultErrnoRet: number;
  architectures: readonly string[];
  syscalls: readonly SeccompRule[];
}

const errno = { EPERM: 1, ENOSYS: 38 } as const;

/** Flags of clone(2) that make a namespace: NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWNS (NEWTIME is of clone3 only). */
const newNamespaces = 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000 | 0x0002_0000;

/** Families an app may open: UNIX, INET, INET6, NETLINK. Packet, vsock, crypto and the rest are refused. */
const socketFamilies = [1, 2, 10, 16];

/** personality(2): plain Linux, and the values programs use to ask for their own. */
const personalities = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const architectures: Readonly<Record<string, readonly string[]>> = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
};

/**
 * The filter of system calls. What nobody listed answers "not implemented", so that a library that tries a newer call
 * falls back to an older one; what is known to be dangerous answers "not permitted". Throws nothing.
 */
export function seccompProfile(arch: string = process.arch): SeccompProfile {
  const one = (name: string, index: number, value: number): SeccompRule => ({ names: [name], action: "SCMP_ACT_ALLOW", args: [{ index, value, op: "SCMP_CMP_EQ" }] });
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: errno.ENOSYS,
    architectures: architectures[arch] ?? [],
    syscalls: [
      { names: Object.values(allowedSyscalls).flat(), action: "SCMP_ACT_ALLOW" },
      // The flags of clone3 are in memory, where a filter cannot look: without it libraries use clone.
      { names: ["clone"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: newNamespaces, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }] },
      ...socketFamilies.map((family) => one("socket", 0, family)),
      ...personalities.map((persona) => one("personality", 0, persona)),
      { names: refusedSyscalls, action: "SCMP_ACT_ERRNO", errnoRet: errno.EPERM },
    ],
  };
}
