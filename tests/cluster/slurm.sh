#!/bin/sh
# A Slurm cluster of two nodes on 127.0.0.1, for tests: `slurm.sh start FOLDER`, `slurm.sh stop FOLDER`.
# It needs Debian's packages slurm-wlm and munge. FOLDER takes all it writes; SLURM_CONF=FOLDER/slurm.conf is its address.
# `slurm.sh join FOLDER node2` brings a node back whose daemon was killed.
set -eu
command=$1 folder=$2 here=$(hostname -s)
PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF="$folder/slurm.conf"

configure() {
    mkdir -p "$folder/state" "$folder/node1" "$folder/node2"
    chmod 700 "$folder"
    head -c 1024 /dev/urandom > "$folder/munge.key"
    chmod 400 "$folder/munge.key"
    # shellcheck disable=SC2046
    set -- $(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(each.getsockname()[1] for each in sockets))')
    cat > "$SLURM_CONF" <<END
ClusterName=touchstone
SlurmctldHost=$here(127.0.0.1)
SlurmctldPort=$1
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=5,bf_interval=5
KillWait=2
SlurmdTimeout=10
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=node1 NodeHostname=$here NodeAddr=127.0.0.1 Port=$2 CPUs=2 State=UNKNOWN
NodeName=node2 NodeHostname=$here NodeAddr=127.0.0.1 Port=$3 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=9
END
}

begin() {
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munge.pid" \
        --log-file="$folder/munge.log" --seed-file="$folder/munge.seed"
    slurmctld
    slurmd -N node1
    slurmd -N node2
    for _ in $(seq 60); do
        if [ "$(sinfo -h -o %D -t idle 2>/dev/null | head -1)" = 2 ]; then return; fi
        sleep 1
    done
    echo "error: the nodes are not idle: $(sinfo 2>&1)" >&2
    exit 1
}

end() {
    if [ -f "$1" ]; then kill "$(cat "$1")" 2>/dev/null || true; fi
}

case $command in
start)
    configure
    begin
    ;;
join)
    slurmd -N "$3"
    ;;
stop)
    scancel --signal=KILL --user="$(id -un)" 2>/dev/null || true
    for name in node1 node2 slurmctld munge; do end "$folder/$name.pid"; done
    ;;
*)
    echo "usage: slurm.sh start|stop|join FOLDER [NODE]" >&2
    exit 2
    ;;
esac
