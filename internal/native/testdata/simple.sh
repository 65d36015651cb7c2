#!/bin/sh
# the script of the UML HOWTO
cd /home/me/uml
./linux-6.1/linux mem=128M umid=debian \
	ubd0=debian.cow,debian.img ubd1r=/srv/swap \
	root=/dev/ubda con=pts con0=fd:0,fd:1 con1=xterm ssl0=port:9000 ssl3=tty:/dev/ttyS0 \
	eth0=tuntap,tap0,fe:fd:00:00:00:01,192.168.0.254 quiet init="/sbin/init" 
