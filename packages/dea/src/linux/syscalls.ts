const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

/** System calls that programs need, by what they are about. Everything that is in neither list does not exist for an app (ENOSYS). */
export const allowedSyscalls: Readonly<Record<string, readonly string[]>> = {
  files: words(`access faccessat faccessat2 chdir fchdir chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 fchownat lchown lchown32 close close_range
    copy_file_range creat dup dup2 dup3 fadvise64 fadvise64_64 fallocate fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr lgetxattr link linkat listxattr llistxattr lremovexattr
    lseek _llseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead
    readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile sendfile64 setxattr splice stat stat64 statfs statfs64 statx symlink symlinkat
    sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev inotify_add_watch
    inotify_init inotify_init1 inotify_rm_watch ioctl cachestat`),
  memory: words(`brk madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free
    pkey_mprotect remap_file_pages get_mempolicy map_shadow_stack mseal`),
  processes: words(`alarm arch_prctl capget capset execve execveat exit exit_group fork vfork getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
    getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit ugetrlimit getrusage getsid gettid getuid getuid32
    kill pidfd_open pidfd_send_signal prctl prlimit64 rseq sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield setfsgid
    setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32
    setreuid setreuid32 setrlimit setsid setuid setuid32 set_robust_list get_robust_list set_thread_area get_thread_area set_tid_address tgkill tkill wait4 waitid
    waitpid futex futex_time64 futex_waitv futex_wake futex_wait futex_requeue getcpu ioprio_get ioprio_set uname sysinfo landlock_add_rule
    landlock_create_ruleset landlock_restrict_self seccomp restart_syscall`),
  signals: words(`pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask sigreturn`),
  waiting: words(`epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 poll ppoll ppoll_time64
    pselect6 pselect6_time64 select _newselect io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit`),
  time: words(`clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
    timerfd_settime timerfd_settime64 times`),
  network: words(`accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg
    sendto setsockopt shutdown socketpair`),
  messages: words(`ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd
    pipe pipe2 semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`),
  other: words(`getrandom`),
};

/** Known and refused (EPERM): the kernel's own affairs, other processes' memory, keys, mounts, time, and what was a way out before. */
export const refusedSyscalls: readonly string[] = words(`acct add_key adjtimex bpf chroot clock_adjtime clock_adjtime64 clock_settime clock_settime64 create_module
  delete_module fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick get_kernel_syms init_module io_uring_enter io_uring_register io_uring_setup
  ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages modify_ldt mount mount_setattr move_mount move_pages name_to_handle_at nfsservctl
  open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace query_module quotactl quotactl_fd
  reboot request_key set_mempolicy setdomainname sethostname setns settimeofday stime swapoff swapon _sysctl sysfs syslog umount umount2 unshare uselib userfaultfd
  ustat vhangup vm86 vm86old vserver`);
