x = "/home/me/x";
