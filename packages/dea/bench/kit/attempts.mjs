// What somebody inside a container tries. Each script says "broken" when it got through, and nothing else.
// Used by bench/attackers.mjs and by the tests; needs bash, coreutils, util-linux and perl in the container.

const refusedToWrite = (...files) => `for f in ${files.join(" ")}; do (echo x >"$f") 2>/dev/null && echo "broken $f"; done`;

/** @type {readonly { what: string, as: "vcap" | "root", script: string }[]} */
export const attempts = [
  // Files, environment and processes of others.
  { what: "the host's passwords", as: "root", script: "grep -q . /etc/shadow && echo broken" },
  { what: "the host's homes and state", as: "root", script: "ls -A /root /home /var /run 2>/dev/null | grep -vE '^(/.*:|vcap|tmp|)$' && echo broken" },
  { what: "the executor's folders and droplets", as: "root", script: "find / -xdev \\( -name droplets -o -name 'opencf-dea*' -o -name '*.tgz' \\) -not -path '/usr/*' -not -path '/proc/*' 2>/dev/null | grep . && echo broken" },
  { what: "another app's files", as: "root", script: "find / -xdev -name mine 2>/dev/null | grep -q . && echo broken" },
  { what: "processes of the host", as: "root", script: "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null | grep -E 'vitest|opencf-keeper|runc|crun|dockerd|systemd' | grep -v grep && echo broken" },
  { what: "the environment of others", as: "root", script: "cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -E 'SECRET_OF|VITEST|OPENCF_DEA' && echo broken" },
  { what: "the way out through /proc/*/root and /proc/*/cwd", as: "root", script: "for p in /proc/[0-9]*; do ls $p/root/root $p/cwd/../../root $p/root/home/*/.ssh 2>/dev/null && echo broken; done; ls /proc/1/root/home/ | grep -v vcap && echo broken" },
  { what: "open files of the executor", as: "vcap", script: "for f in /proc/self/fd/* /proc/1/fd/*; do [ \"${f##*/}\" -gt 2 ] 2>/dev/null || continue; [ -p $f ] && continue; t=$(readlink $f 2>/dev/null) || continue; case $t in /proc/*|/dev/null|/dev/pts/*) ;; *) { (cat <$f) >/dev/null 2>&1 || (echo 9 >>$f) 2>/dev/null; } && echo \"broken $f $t\" ;; esac; done" },
  { what: "signals to everybody", as: "root", script: "kill -0 -1 2>/dev/null; for p in 2 100 1000 10000; do [ -e /proc/$p ] || { kill -9 $p 2>/dev/null && echo broken; }; done" },

  // The kernel's switches and memory.
  { what: "/proc/sysrq-trigger", as: "root", script: refusedToWrite("/proc/sysrq-trigger") },
  { what: "core_pattern, modprobe and other programs that the kernel would run", as: "root", script: refusedToWrite("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/proc/sys/kernel/poweroff_cmd", "/proc/sys/fs/binfmt_misc/register", "/sys/kernel/uevent_helper") },
  { what: "/proc/sys", as: "root", script: refusedToWrite("/proc/sys/kernel/printk", "/proc/sys/vm/overcommit_memory", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/user/max_user_namespaces") },
  { what: "the kernel's memory and messages", as: "root", script: "head -c 1 /proc/kcore 2>/dev/null | grep -q . && echo broken; head -c 1 /proc/kallsyms | grep . && echo broken; dmesg 2>/dev/null | grep -q . && echo broken; ls /sys/kernel/debug /sys/kernel/security /sys/firmware 2>/dev/null | grep . && echo broken" },
  { what: "keys of the kernel", as: "root", script: "grep -q . /proc/keys 2>/dev/null && echo broken; grep -q . /proc/key-users 2>/dev/null && echo broken" },
  { what: "release_agent", as: "root", script: "find /sys/fs/cgroup -name release_agent -writable 2>/dev/null | grep . && echo broken; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x 2>/dev/null && echo broken" },
  { what: "limits of its own group", as: "root", script: "for f in $(find /sys/fs/cgroup -name '*limit_in_bytes' -o -name '*.max' -o -name cgroup.procs -o -name cpu.shares -o -name devices.allow 2>/dev/null); do (echo 9999999999 >$f) 2>/dev/null && echo \"broken $f\"; done" },
  { what: "to be spared when memory runs out, to go first, to have more files", as: "root", script: "(echo -1000 >/proc/self/oom_score_adj) 2>/dev/null && echo broken oom; chrt -f 50 true 2>/dev/null && echo broken fifo; [ \"$(nice -n -5 nice 2>/dev/null)\" -lt 0 ] && echo broken nice; ulimit -Hn 1000000 2>/dev/null && echo broken files" },

  // Mounts, devices, rights, namespaces.
  { what: "mount", as: "root", script: "mount -t tmpfs none /tmp 2>/dev/null && echo broken; mount -t proc none /tmp 2>/dev/null && echo broken; mount -o remount,rw /usr 2>/dev/null && echo broken; mount --bind / /tmp 2>/dev/null && echo broken; mount -t cgroup -o memory none /tmp 2>/dev/null && echo broken" },
  { what: "to unmount what hides", as: "root", script: "umount /proc/kcore 2>/dev/null && echo broken; umount -l /proc/sys 2>/dev/null && echo broken; umount /sys 2>/dev/null && echo broken" },
  { what: "the host's programs", as: "root", script: "(: >/usr/bin/evil) 2>/dev/null && echo broken; (: >>/usr/bin/env) 2>/dev/null && echo broken; mv /usr/bin/env /usr/bin/evil 2>/dev/null && echo broken" },
  { what: "device nodes", as: "root", script: "mknod /tmp/disk b 254 0 2>/dev/null && echo broken; mknod /tmp/mem c 1 1 2>/dev/null && echo broken; mknod /dev/kmsg2 c 1 11 2>/dev/null && echo broken; ls /dev | grep -E '^(vd|sd|nvme|loop|kmsg|mem|fuse|kvm|net|mapper)' && echo broken" },
  { what: "setuid programs", as: "vcap", script: "cp /usr/bin/id /tmp/id-$$ && chmod 6755 /tmp/id-$$; /tmp/id-$$ -u | grep -x 0 && echo broken; passwd -d root 2>/dev/null && echo broken; su -c true </dev/null 2>/dev/null && echo broken; rm -f /tmp/id-$$" },
  { what: "setuid programs of the container's root", as: "root", script: "cp /usr/bin/id /tmp/rid && chmod 4755 /tmp/rid; grep -q ' / .*nosuid' /proc/self/mounts || echo broken; rm -f /tmp/rid" },
  { what: "namespaces of its own", as: "vcap", script: "for n in user net mount pid uts ipc cgroup; do unshare --$n true 2>/dev/null && echo broken $n; done" },
  { what: "namespaces of others", as: "root", script: "for n in mnt net pid ipc uts cgroup user; do nsenter --$n=/proc/1/ns/$n true 2>/dev/null && echo broken $n; done" },
  { what: "chroot and pivot_root", as: "root", script: "chroot /tmp /bin/true 2>/dev/null && echo broken; pivot_root / /tmp 2>/dev/null && echo broken" },
  { what: "the name and clock of the machine", as: "root", script: "hostname evil 2>/dev/null && echo broken; date -s 2001-01-01 >/dev/null 2>&1 && echo broken" },
  { what: "more rights", as: "root", script: "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | grep -v 0000000000000000 && echo broken; grep -q 'NoNewPrivs:\\s*1' /proc/self/status || echo broken; grep -q 'Seccomp:\\s*2' /proc/self/status || echo broken" },
  { what: "to be root outside", as: "root", script: "read -r inside outside size </proc/self/uid_map; [ \"$inside\" = 0 ] && [ \"$outside\" -ge 1000000000 ] && [ \"$size\" = 65536 ] || echo broken" },
  { what: "the programs that made it (/proc/*/exe)", as: "root", script: "for p in /proc/[0-9]*; do (: >>$p/exe) 2>/dev/null && echo broken; done" },

  // The link.
  { what: "its own link, addresses and rules", as: "root", script: "ip link set eth0 down 2>/dev/null && echo broken; ip addr add 10.254.0.77/24 dev eth0 2>/dev/null && echo broken; ip route add 169.254.169.254 dev eth0 2>/dev/null && echo broken; tc qdisc del dev eth0 root 2>/dev/null && echo broken; nft add table inet x 2>/dev/null && echo broken" },
  { what: "low ports", as: "vcap", script: "perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); for (1, 22, 53, 80, 443, 1023) { print \"broken $_\\n\" if bind(S, sockaddr_in($_, INADDR_ANY)) }'" },
  { what: "raw, packet, vsock and crypto sockets", as: "root", script: "perl -MSocket -e 'for ([2,3,1],[2,3,255],[10,3,58],[17,3,768],[17,2,0],[40,1,0],[38,5,0],[15,3,2],[29,3,1],[31,3,1]) { print \"broken @$_\\n\" if socket(S, $_->[0], $_->[1], $_->[2]) }'" },
];
