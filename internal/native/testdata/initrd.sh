cd / && sudo /usr/bin/linux.uml initrd=boot/initrd root=/dev/ubdb1 rw ubdb=/dev/vg/lv mem=1G console=ttyS1 con0=null ssl1=pts hostfs=/var/empty
