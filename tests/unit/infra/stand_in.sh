#!/bin/bash
# Any command of a machine that boots (boot_machine.py): writes a line of `calls`, fails if `fail` names it, and acts on
# files of the machine. systemd starts Chroma's service again at each wait.
line="$(basename "$0") $*"
echo "$line" >> "$STATE/calls"
while read -r pattern; do [[ -n "$pattern" && "$line" == *"$pattern"* ]] && exit 1; done < "$STATE/fail"
start() {
  [ -e "$STATE/up" ] && return
  bash "$MACHINE/usr/local/sbin/chroma-volume" >> "$STATE/log" 2>&1 || return
  touch "$STATE/up" "$STATE/disk/chroma.sqlite3"
}
case "$line" in
  "aws ec2 describe-tags"*) cat "$STATE/tag" 2>/dev/null || echo None ;;
  "aws ec2 create-tags"*) echo true > "$STATE/tag" ;;
  "aws autoscaling describe"*) echo hosts ;;
  "aws logs put-log-events"*) cp "${line##*file://}" "$STATE/reported" ;;
  journalctl*) echo "the journal" ;;
  "aws secretsmanager"*"/pair "*) cat "$STATE/pair" ;;
  "aws secretsmanager"*AWSCURRENT*) cat "$STATE/token" ;;
  "aws secretsmanager"*) cat "$STATE/pending" 2>/dev/null ;;
  *api/token) echo token ;;
  *instance-id) echo i-1 ;;
  *local-ipv4) echo 10.0.0.7 ;;
  *api/v2/heartbeat|*chroma.docwell.internal/health|*"https://127.0.0.1/health") [ -e "$STATE/up" ] ;;
  "systemctl enable --now --no-block"*) start ;;
  "sleep 30") [ ! -e "$STATE/waits" ] || [ "$(grep -c "^sleep 30" "$STATE/calls")" -le "$(cat "$STATE/waits")" ] ;;
  sleep*)
    if [ "$(grep -c ^sleep "$STATE/calls")" = "$(cat "$STATE/late")" ]; then cp "$STATE/device" "$DEVICE"; fi
    if [ "$1" = 5 ] && [ -e "$MACHINE/usr/local/sbin/chroma-volume" ]; then start; fi ;;
  "docker run"*"--name ollama"*) [ ! -e "$STATE/container" ] && touch "$STATE/container" ;;
  "aws cloudformation describe-stacks"*) cat "$STATE/status" 2>/dev/null || echo UPDATE_IN_PROGRESS ;;
  "docker exec"*" ollama sh -c "*) while [ "$1" != sh ]; do shift; done; "$@" ;;
  "docker rm"*) [ -e "$STATE/container" ] && rm "$STATE/container" ;;
  mkfs.xfs*) rm -f "$STATE/disk/"*; echo XFSB > "$DEVICE" ;;
  head*) PATH=${PATH#*:} exec head "$@" ;;
  mountpoint*) [ -L "$MACHINE/var/lib/chroma" ] ;;
  mount*) grep -q XFSB "$DEVICE" && rmdir "$MACHINE/var/lib/chroma" &&
    ln -s "$STATE/disk" "$MACHINE/var/lib/chroma" ;;
esac
