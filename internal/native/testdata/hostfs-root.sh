nohup /usr/bin/linux.uml rootfstype=hostfs hostfs=/srv rootflags=/debian root=/dev/root rw con0=fd:0,fd:1 con=null 'note="a b"'
