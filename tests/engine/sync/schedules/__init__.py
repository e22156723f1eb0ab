"""Random schedules: devices, other programs, an office and a bad link, against an oracle.

``schedule`` draws what happens, ``machine`` plays it, ``ledger`` remembers who wrote what;
``audit`` compares that with all the service ever had, and with what the devices have in the end.
``soak`` plays many, ``shrinking`` makes one that fails smaller.
"""
