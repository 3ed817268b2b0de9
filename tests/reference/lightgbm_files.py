"""Small models of LightGBM 4.7.0 and what it says of a few rows: lightgbm_files.py src/models/boosted/lightgbm_files"""
import json, re, sys
import numpy as np, lightgbm as lgb
out = sys.argv[1]
rng=np.random.default_rng(3)
n=400
X=rng.random((n,4)).astype(np.float32)
X[:,1]=np.floor(X[:,1]*6)
X[rng.random(n)<.2,2]=np.nan
X[rng.random(n)<.3,3]=0
z=2*X[:,0]-1+np.where(np.isin(X[:,1],[1,4]),.8,-.3)+np.where(np.isnan(X[:,2]),.5,X[:,2])+X[:,3]
y=(rng.random(n)<1/(1+np.exp(-z))).astype(float)
P=dict(verbose=-1,num_leaves=5,min_data_in_leaf=20,num_threads=1,seed=1,deterministic=True,cat_smooth=1,cat_l2=1,min_data_per_group=5,max_cat_to_onehot=1)
T=np.array([[.1,0,.2,.3],[.9,1,np.nan,0],[.5,2,.7,.9],[np.nan,np.nan,np.nan,np.nan],[.71,4,.53,.1],[.3,5.7,.9,0],[.6,-1,.4,1e-36],[.25,33,.1,.68],[.55,3,.25,.4],[.8,4,0,.0]],dtype=np.float32)
for name,obj,lab,extra,cat in [("binary","binary",y,{},[1]),("poisson","poisson",np.floor(3*y*X[:,0]+y),{},[]),("tweedie","tweedie",y*X[:,0],dict(tweedie_variance_power=1.4),[]),("zero_as_missing","regression",z,dict(zero_as_missing=True),[]),("quantile","quantile",z,dict(alpha=.8),[]),("gamma","gamma",np.exp(np.nan_to_num(z)),{},[]),("no_missing","regression",z,dict(use_missing=False),[])]:
    m=lgb.train(dict(P,objective=obj,**extra),lgb.Dataset(X,lab,categorical_feature=cat),3)
    s=m.model_to_string()
    head,par=s.split("\nparameters:\n")
    keep=[l for l in par.splitlines() if re.match(r"\[(alpha|tweedie_variance_power|objective|boosting): ",l)]
    s=head+"\nparameters:\n"+"\n".join(keep)+"\nend of parameters\n"
    open(f"{out}/{name}.txt","w").write(s)
    m2=lgb.Booster(model_str=s)
    o=dict(rows=[[None if np.isnan(v) else float(v) for v in r] for r in T],raw=m2.predict(T,raw_score=True).tolist(),predictions=m2.predict(T).tolist(),contributions=m2.predict(T,pred_contrib=True).tolist())
    assert np.array_equal(m.predict(T),m2.predict(T))
    json.dump(o,open(f"{out}/{name}.json","w"))
