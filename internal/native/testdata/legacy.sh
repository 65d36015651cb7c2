linux umid=netkit ubd0s=/n/a.cow:/n/base ubd2rcd=/n/c root=98:0 ro uml_dir=/tmp/uml mconsole=notify:/tmp/n \
 eth0=daemon,52:54:00:00:00:01,unix,/tmp/hub1.ctl eth1=mcast,52:54:00:00:00:02 eth2=mcast,52:54:00:00:00:03,230.0.0.1,5000,1 \
 eth3=slirp,52:54:00:00:00:04 eth4=vde,/run/vde/lan.ctl,52:54:00:00:00:05 \
 hostfs=/home/me/share con0=null con2=none con3=pty ssl=null ssl1=fd:5 5>>'/var/log/it'\''s' noreboot
