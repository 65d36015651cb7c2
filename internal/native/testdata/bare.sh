cd /home/me
linux
