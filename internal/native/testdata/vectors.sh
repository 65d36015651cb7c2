export TMPDIR=/dev/shm
BASE='/srv/uml images'
NAME=lab1
exec env LANG=C /opt/linux mem=0x10000000 "umid=$NAME" ubda="${BASE}/root" ncpus=2 seccomp=on \
  vec0:transport=tap,ifname=tap7,depth=128,gro=1,mac=52:54:00:00:00:01 \
  vec1:transport=raw,ifname=eth1,mac=52:54:00:00:00:02,mtu=9000 \
  vec2:transport=fd,fd=3,mac=52:54:00:00:00:03 vec3:transport=bess,dst=/tmp/bess,mac=52:54:00:00:00:04 \
  single 'panic=1' < /dev/null > /var/log/lab1.log 2>&1 &
