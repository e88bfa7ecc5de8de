#!/usr/bin/env bash
# Two hosts, each in a network and with a file system of its own, run one `convcli fuzz` through dask: docs/many.md,
# "Two machines with dask", to the letter. Needs root, ip and unshare; PYTHON names the interpreter of an environment
# with convcli, distributed and, unless AGAINST says otherwise, torch.
set -euo pipefail
python=${PYTHON:-python3}
cases=${CASES:-40}
against=${AGAINST:-torch}
home=$(mktemp -d)
first=convcli-a second=convcli-b

cleanup() {
  for host in $first $second; do
    ip netns pids $host 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    ip netns delete $host 2>/dev/null || true
  done
  wait 2>/dev/null || true
  rm -rf "$home"
}
trap cleanup EXIT

ip netns add $first
ip netns add $second
ip link add name veth-a netns $first type veth peer name veth-b netns $second
for host in "$first veth-a 10.0.0.1" "$second veth-b 10.0.0.2"; do
  read -r name link address <<<"$host"
  ip -n "$name" address add "$address/24" dev "$link"
  ip -n "$name" link set "$link" up
  ip -n "$name" link set lo up
  mkdir -p "$home/$name"
done

# on HOST COMMAND: in its network, with a directory for all that it writes, which the other one does not see
on() {
  local host=$1
  shift
  ip netns exec "$host" unshare --mount bash -c \
    'mount --bind "$1" /var/tmp && cd /var/tmp && export TMPDIR=/var/tmp && shift && exec "$@"' _ "$home/$host" "$@"
}

dask="$python -m dask"
on $first $dask scheduler --host 10.0.0.1 --port 8786 --no-dashboard >"$home/scheduler.log" 2>&1 &
on $first $dask worker tcp://10.0.0.1:8786 --nworkers 1 --nthreads 1 >"$home/first.log" 2>&1 &
on $second $dask worker tcp://10.0.0.1:8786 --nworkers 1 --nthreads 1 >"$home/second.log" 2>&1 &
until [ "$(grep -l "Registered to" "$home/first.log" "$home/second.log" | wc -l)" = 2 ]; do sleep 0.5; done

on $second "$python" -m convcli fuzz --cases "$cases" --against "$against" --executor dask://10.0.0.1:8786 \
  --output fuzz.jsonl --output fuzz.md || code=$?
echo "lines of the journal: $(wc -l <"$home/$second/fuzz.jsonl")"
for host in first second; do echo "$host: worker at $(grep -o "Start worker at:.*" "$home/$host.log" | head -1)"; done
exit "${code:-0}"
